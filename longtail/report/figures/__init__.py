"""Figures of the results, one per file.

Each module has `draw(...)`, which returns a matplotlib Figure, and `caption(...)`, which takes the same
arguments and returns the text to print below it. The names of their parameters say what they read:

    evaluation, per_class, split   the frames of the files of these names in `results/`
    tensors                        one tensor file: images uint8 N x 3 x H x W, labels, image_ids, class_names
    histories, predictions, records, differences   see `longtail.analysis.frames`
    model, train_set, loss         the part of them to draw

Everything else is a setting of the figure. A run that is missing (no row, or NaN, where others of the grid have
a value) is drawn as missing and named in the caption.
"""
