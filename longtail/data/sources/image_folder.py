"""A collection of one's own: image files in a folder, which longtail/data/collection reads."""

from longtail.data.sources.table import Source

SOURCE = Source(
    rules="image_folder.smk",
    split="folder_split",
    natural=True,
    collection=True,
    images_rule="folder_images",
    required="path",
    hint="give a folder of class folders, or a list such as a csv with the columns path and label",
)
