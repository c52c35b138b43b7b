"""Published lists of the images of a data set, with its images or, where `root` is not set, without them.

longtail/data/lists/published.py reads them."""

from longtail.data.sources.table import Source

SOURCE = Source(
    rules="lists.smk",
    split="list_split",
    has_images=False,
    images_rule="listed_images",
    required="train",
    hint="give a text file of lines `path label`, or the json of iNaturalist",
)
