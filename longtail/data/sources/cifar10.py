"""CIFAR-10: 10 classes of 5,000 training and 1,000 test images, 32 x 32 pixels."""

from pathlib import Path

from longtail.data.sources.cifar import Layout, load_archive
from longtail.data.sources.table import Source
from longtail.data.tensors.files import LabelledImages

SOURCE = Source(
    archive="cifar-10-python.tar.gz",
    classes=10,
    images=50_000,
    test_images=10_000,
    title="CIFAR-10",
    paper="krizhevsky2009",
    hub="uoft-cs/cifar10",
)

LAYOUT = Layout(
    title=SOURCE.title,
    folder="cifar-10-batches-py",
    meta="batches.meta",
    names="label_names",
    train=("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"),
    test="test_batch",
    labels="labels",
)


def load_images(archive: str | Path, sha256: str) -> LabelledImages:
    """All images of `cifar-10-python.tar.gz`, as `longtail.data.sources.cifar.load_archive` gives them.

    Ids 0 to 49,999 are the training images, in the order of the five batches, 50,000 to 59,999 the test images.
    """
    return load_archive(archive, sha256, LAYOUT)
