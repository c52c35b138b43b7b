"""Labelled images in memory and in `.pth` files, from the source to the job that trains on them.

    files        `LabelledImages`, and the files that hold them, each checked by its hash as it is read
    shards       images of a large set in several files, used like one tensor
    selection    the images of one named set, by the table of a split
    loading      where the images of a job lie: in the memory of its device, or in their files

It uses `data.split` for the names of the sets, and `files` for files that appear whole or not at all. The sources, the
programs images, tensors, train and predict, and the rooms training, batches and inference use it.

Facts that a newcomer needs:

- A file holds tensors and strings only. It is read with `weights_only=True`, so nothing in it is run.
- The same images give the same bytes, so a file that is made again does not change what depends on it.
- A set of more than 2 GiB is divided: its file then lists the parts, which lie in a folder beside it.
- Images may stay in their files, memory-mapped. `ShardedImages` is no tensor, though it is indexed like one.
"""
