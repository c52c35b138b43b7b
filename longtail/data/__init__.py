"""Where images come from, how they are divided, and the tensor files that training reads.

    sources/      where images come from: CIFAR-100, digits, a collection of your own, lists without images
    collection/   the files of a collection of your own: listed, checked, decoded once
    split/        which image trains, tests or validates, and which are in the long-tailed sets
    tensors/      the images of each set as files of tensors, and how a job loads them

It uses `longtail.machine` and `longtail.files`. The programs of the first rules use it, and `batches` serves tensors.

Facts that a newcomer needs:

- An image keeps one id from its source to the predictions. Tables are joined by it, never by the order of rows.
- Random choices are made per image, from the data's seed and the image's id. So one more image moves few of the others.
- The rules plan with `sources/table.py`, `split/sets.py` and `collection/listing.py`, which import neither PyTorch nor
  pandas.
"""
