"""A collection of one's own: image files in a folder, which longtail/data/collection reads."""

from longtail.data.sources.table import Source

SOURCE = Source(rules="image_folder.smk", natural=True)
