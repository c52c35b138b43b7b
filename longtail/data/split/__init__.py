"""Which images train, which validate and which test, as a table with one row for each image.

    balanced     equally many training and test images of every class, drawn from a source
    longtailed   the long-tailed part of those
    natural      the split of a collection that is long-tailed itself, whose class counts are kept; it uses
    classes      which of its classes are left out, renamed or merged,
    frozen       an earlier split whose images stay where they are,
    origin       what its list holds, and of which collection and settings it is the split, and
    division     the draw of whole groups, class by class, with
    exchange     the exchanges of those that several classes share
    told         what such a split is like, for people
    official     the split of a source whose classes keep the sizes that they have
    lists        the split that published lists of images describe, such as those of ImageNet-LT
    sets         the named sets, the classes with their training images, and how many images a long tail leaves them

It uses `machine` for randomness, and `data.tensors` and `data.collection` for what is divided. The programs
subsets, split, natural_split, folder_split,
list_split and groups use it. Analysis and report use only `sets`.

Facts that a newcomer needs:

- A balanced source is cut to a long-tailed part. A natural collection is long-tailed, and a balanced part is cut from
  it. Only the table of the latter has a column `balanced`.
- Each image draws its own place by the seed and its id, so a table is the same on every machine.
- `sets`, `classes` and `origin` import nothing heavy, since planning needs them. Tests pin some tables by their hash.
"""
