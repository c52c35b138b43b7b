"""Lists of a data set's images without the images, which longtail/data/split/lists.py reads."""

from longtail.data.sources.table import Source

SOURCE = Source(
    rules="lists.smk",
    split="list_split",
    has_images=False,
    required="train",
    hint="give a text file of lines `path label`",
)
