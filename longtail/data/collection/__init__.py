"""A collection of image files of your own: found, checked, decoded once, and everything noteworthy written down.

    listing      which files there are, and their classes: from folders, or from a csv
    file         one file: its pixels, and what its owner should know of it
    decoding     one picture as the pixels that models see, the same in training and in prediction
    duplicates   images that are there more than once, as equal files or as pictures that look the same
    reading      the whole collection, decoded in parallel into tensors and a table of its images
    findings     all that was found, as a table and as a page

It uses `data.tensors` for the pixels and `data.split` to say what a split would do to each class.

Facts that a newcomer needs:

- Planning lists a collection, so `listing` opens no picture and imports nothing heavy.
- A file that cannot be used is left out with a finding that names it; it never stops the others. `strict` refuses it.
- An image's id is a hash of its path, so ids do not depend on which other files there are.
"""
