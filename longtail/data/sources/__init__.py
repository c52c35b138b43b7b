"""Where images come from: one file for each source, and the download of an archive.

`table.py` finds the sources. A source's file states `SOURCE = Source(...)` in literals, which the table reads from the
text of the file, so that neither the configuration nor the plan imports torch. A source that takes `sources.smk` also
has `load_images`, which returns all its images as `LabelledImages`; it takes an archive and its hash if
`Source.archive` says so.

- `cifar100.py`, `cifar10.py`: their archives, which `cifar.py` reads without running what they contain.
- `digits.py`: scikit-learn's digits, which need no network.
- `of_torchvision.py`: data sets of torchvision, each by its name.
- `image_folder.py`: a collection of one's own; longtail/data/collection reads it.
- `lists.py`: class counts alone; there are no images.
- `download.py`: fetches an archive and checks it before it gets its name.

This room uses longtail/data/tensors and the rooms below data. The rules, `experiment` and the programs use it.
"""
