"""Lists of a data set's images without the images, which longtail/data/split/lists.py reads."""

from longtail.data.sources.table import Source

SOURCE = Source(rules="lists.smk")
