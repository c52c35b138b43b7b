"""Lists of the images of a data set, without the images themselves. longtail/data/split/lists.py reads them."""

from longtail.data.sources.table import Source

SOURCE = Source(
    rules="lists.smk",
    split="list_split",
    has_images=False,
    required="train",
    hint="give a text file of lines `path label`",
)
