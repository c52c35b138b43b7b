"""A user's own image files, in a folder of class folders or named by a csv, before they are tensors.

    folder       the pictures in a folder and below, the same for training and for prediction
    listing      which files there are and what class each has, without opening any of them
    decoding     one picture file as pixels, the same for training and for prediction
    shape        how a picture becomes a square
    file         one file of a collection: its pixels, and what its owner should know about it
    duplicates   images that are there more than once, as the same file or as nearly the same picture
    reading      the whole collection: tensors, a table of the images, and the findings
    published    the pictures of published lists: tensors, in parts that stay where a job is interrupted
    overview     a first look, by which a configuration is proposed
    findings     what was found, as a table and as a page, and what `strict` refuses

It uses `data.tensors` for the images, `data.split` to say what a split would find, and `files`. The programs
folder_images, folder_split and check_data use it, the plan of `experiment` lists the files, and `inference` reads
folders and decodes.

Facts that a newcomer needs:

- `folder` and `listing` import nothing heavy, since the workflow lists a collection each time it plans.
- Nothing is mended or dropped in silence. Each file or class that needs it becomes a `Finding`, which says what was
  found and what is done, and whether `strict` refuses it.
- Duplicates are kept, but share a `twin`, by which `data.split.natural` keeps them on one side of the split.
"""
