"""CIFAR-100: 100 classes of 500 training and 100 test images, 32 x 32 pixels."""

from pathlib import Path

from longtail.data.sources.cifar import Layout, load_archive
from longtail.data.sources.table import Source
from longtail.data.tensors.files import LabelledImages

SOURCE = Source(
    archive="cifar-100-python.tar.gz",
    classes=100,
    images=50_000,
    test_images=10_000,
    title="CIFAR-100",
    paper="krizhevsky2009",
    hub="uoft-cs/cifar100",
)

LAYOUT = Layout(
    title=SOURCE.title,
    folder="cifar-100-python",
    meta="meta",
    names="fine_label_names",
    train=("train",),
    test="test",
    labels="fine_labels",
)


def load_images(archive: str | Path, sha256: str) -> LabelledImages:
    """All images of `cifar-100-python.tar.gz`, as `longtail.data.sources.cifar.load_archive` gives them.

    The labels are the 100 fine ones. Ids 0 to 49,999 are the training images, 50,000 to 59,999 the test images.
    """
    return load_archive(archive, sha256, LAYOUT)
