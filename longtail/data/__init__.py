"""Where images come from, how they are divided, and the tensor files that training reads.

    sources      one module for each kind of source: CIFAR-100, digits, a folder of images, lists; and the download
    collection   a user's own image files: which there are, what is wrong with them, and their pixels
    split        which images train, validate and test, and which of them are long-tailed
    tensors      labelled images in memory and as `.pth` files, and the set that a job asks for

An image goes through these rooms in order: a source or a collection gives `LabelledImages`, a split gives a table with
one row for each image, and both together give one tensor file for each named set. Programs in `workflow/scripts` do
each step, and `batches` reads the result.

It uses the rooms below: `machine` for randomness, and `files` for files that appear whole or not at all. Training,
analysis, report and inference use it.

Facts that a newcomer needs:

- An image has an id, which never changes. Draws depend on the seed and the id, and not on the order of the images or
  on their number, so one image more moves few of the others.
- Pixels are uint8, N x 3 x H x W, RGB, from the file to the batch. Whatever changes them is in `batches`.
- No file that comes from outside is trusted. Hashes are compared before a file is opened, and nothing in it is run.
"""
