"""The sources of images: exact, and no archive that is damaged, foreign or hostile gets through."""

import functools
import gzip
import hashlib
import io
import pickle
import struct
import tarfile

import numpy as np
import pytest
import torch
from payloads import PAYLOADS, payloads

from longtail.data.sources import cifar, cifar10, cifar100, digits


def python2_pickle(content):
    """`content` as Python 2's cPickle wrote the official archive: byte strings, NumPy's old module names."""
    return b"\x80\x02" + _python2(content) + b"."


def _python2(value):
    if isinstance(value, dict):
        return b"}(" + b"".join(_python2(key) + _python2(item) for key, item in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(_python2, value)) + b"e"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, str):
        return b"U" + bytes([len(value)]) + value.encode()
    order = value.flags.f_contiguous and not value.flags.c_contiguous
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(K\x01"
        + b"(" + b"".join(map(_python2, value.shape)) + b"t"
        + b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNN" + _python2(-1) + _python2(-1) + b"K\x00tb"
        + (b"\x88" if order else b"\x89")
        + b"T" + struct.pack("<i", value.size) + value.tobytes(order="A")
        + b"tb"
    )  # fmt: skip


TRAIN = "cifar-100-python/train"
CLASS_NAMES = ["apple", "aquarium_fish", "baby"]
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 3072), dtype=np.uint8)
LABELS = [2, 0, 1, 0, 1, 2, 1, 2, 0, 1, 0, 2]


def members(write=python2_pickle, layout=np.ascontiguousarray):
    def images(rows):
        return {
            "filenames": [f"{row}.png" for row in range(12)[rows]],
            "batch_label": "part",
            "fine_labels": LABELS[rows],
            "coarse_labels": LABELS[rows],
            "data": layout(PIXELS[rows]),
        }

    return {
        "cifar-100-python/meta": write({"fine_label_names": CLASS_NAMES, "coarse_label_names": ["all"]}),
        "cifar-100-python/test": write(images(slice(9, 12))),
        "cifar-100-python/train": write(images(slice(0, 9))),
    }


def pack(path, content, extra=()):
    """A tar of `content` (name to bytes) and of `extra` (TarInfo, bytes); returns its SHA-256."""
    with tarfile.open(path, "w:gz") as tar:
        for member, data in [*extra, *((tarfile.TarInfo(name), data) for name, data in content.items())]:
            member.size = len(data) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(data))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def refusal(archive, sha256, folder):
    """The one message with which the archive is refused; nothing may have appeared beside it."""
    before = sorted(folder.rglob("*"))
    with pytest.raises(ValueError, match=r"\S") as error:
        cifar100.load_images(archive, sha256)
    assert str(archive) in str(error.value)
    assert sorted(folder.rglob("*")) == before
    return str(error.value)


@pytest.fixture
def archive(tmp_path):
    return tmp_path / "cifar-100-python.tar.gz"


def test_the_imitation_is_a_pickle_that_numpy_reads():
    content = {"C": PIXELS, "F": np.asfortranarray(PIXELS), "labels": LABELS}
    unpickled = pickle.loads(python2_pickle(content), encoding="latin1")
    assert np.array_equal(unpickled["C"], PIXELS)
    assert np.array_equal(unpickled["F"], PIXELS)
    assert unpickled["F"].flags.f_contiguous
    assert unpickled["labels"] == LABELS


@pytest.mark.parametrize(
    ("write", "layout"),
    [
        (python2_pickle, np.ascontiguousarray),
        (python2_pickle, np.asfortranarray),
        (functools.partial(pickle.dumps, protocol=4), np.ascontiguousarray),
    ],
    ids=["python 2", "python 2, Fortran order", "python 3"],
)
def test_reads_the_archive_in_the_order_of_its_files(archive, write, layout):
    data = cifar100.load_images(archive, pack(archive, members(write, layout)))
    assert data.class_names == CLASS_NAMES
    assert data.labels.tolist() == LABELS
    assert data.image_ids.tolist() == list(range(12))
    assert data.official_subset == ["train"] * 9 + ["test"] * 3
    # "The first 1024 entries contain the red channel values, the next 1024 the green, and the final 1024 the
    # blue. The image is stored in row-major order." (the data set's page)
    for image, channel, row, column in [(0, 0, 0, 0), (4, 0, 2, 31), (8, 1, 31, 0), (11, 2, 17, 5)]:
        assert data.images[image, channel, row, column] == PIXELS[image, channel * 1024 + row * 32 + column]


def members_of_cifar10():
    def images(name, rows):
        return {"batch_label": name, "labels": LABELS[rows], "data": PIXELS[rows], "filenames": ["x.png"]}

    # Each of the first four batches has two images, the fifth one and the test batch three.
    parts = {f"data_batch_{n}": slice(2 * n - 2, min(2 * n, 9)) for n in range(1, 6)}
    content = {name: images(name, rows) for name, rows in (parts | {"test_batch": slice(9, 12)}).items()}
    content["batches.meta"] = {"num_cases_per_batch": 2, "label_names": CLASS_NAMES, "num_vis": 3072}
    return {f"cifar-10-batches-py/{name}": python2_pickle(held) for name, held in content.items()}


def test_reads_the_batches_of_cifar10_in_their_order(archive):
    content = members_of_cifar10()
    shuffled = {name: content[name] for name in sorted(content, reverse=True)}
    data = cifar10.load_images(archive, pack(archive, shuffled))
    assert data.class_names == CLASS_NAMES
    assert data.labels.tolist() == LABELS
    assert data.image_ids.tolist() == list(range(12))
    assert data.official_subset == ["train"] * 9 + ["test"] * 3
    assert np.array_equal(data.images.numpy().reshape(12, -1), PIXELS)


def test_each_archive_of_cifar_is_refused_as_the_other_and_told_what_it_lacks(archive):
    sha256 = pack(archive, members_of_cifar10())
    with pytest.raises(ValueError, match=r"not an archive of CIFAR-100 .* it has no cifar-100-python/meta"):
        cifar100.load_images(archive, sha256)
    content = members_of_cifar10()
    del content["cifar-10-batches-py/data_batch_4"]
    sha256 = pack(archive, content)
    with pytest.raises(ValueError, match=r"not an archive of CIFAR-10 .* it has no .*/data_batch_4\. Give"):
        cifar10.load_images(archive, sha256)


@pytest.mark.parametrize("name", PAYLOADS)
@pytest.mark.parametrize("member", ["batches.meta", "data_batch_3", "test_batch"])
def test_no_payload_of_an_archive_of_cifar10_runs(archive, tmp_path, member, name):
    hidden = pickle.dumps({"label_names": [payloads(tmp_path / "canary")[name]]})
    sha256 = pack(archive, members_of_cifar10() | {f"cifar-10-batches-py/{member}": hidden})
    with pytest.raises(ValueError, match="which CIFAR's archives never do"):
        cifar10.load_images(archive, sha256)
    assert not (tmp_path / "canary").exists()


def test_opens_nothing_before_the_hash_matches(archive, tmp_path):
    pack(archive, members())
    message = refusal(archive, "0" * 64, tmp_path)
    assert hashlib.sha256(archive.read_bytes()).hexdigest() in message
    assert "0" * 64 in message


@pytest.mark.parametrize("name", PAYLOADS)
def test_the_canary_sings(tmp_path, name):
    pickle.loads(pickle.dumps(payloads(tmp_path / "canary")[name]))
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", PAYLOADS)
@pytest.mark.parametrize("member", ["meta", "train", "test"])
def test_no_payload_of_an_archive_runs(archive, tmp_path, member, name):
    hidden = pickle.dumps({"fine_label_names": [payloads(tmp_path / "canary")[name]]})
    sha256 = pack(archive, members() | {f"cifar-100-python/{member}": hidden})
    assert "which CIFAR's archives never do" in refusal(archive, sha256, tmp_path)


def special(name, kind, target=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_refuses_what_is_no_plain_file(archive, tmp_path, kind):
    content = members()
    train = content.pop("cifar-100-python/train")
    (tmp_path / "outside").write_bytes(train)
    sha256 = pack(archive, content, [special("cifar-100-python/train", kind, str(tmp_path / "outside"))])
    assert "cifar-100-python/train is a link, device or folder" in refusal(archive, sha256, tmp_path)


def test_writes_nothing_whatever_the_names_of_other_members(archive, tmp_path):
    others = [
        special("cifar-100-python", tarfile.DIRTYPE),
        special("cifar-100-python/link", tarfile.SYMTYPE, str(tmp_path)),
        (tarfile.TarInfo("../outside"), b"x"),
        (tarfile.TarInfo(str(tmp_path / "absolute")), b"x"),
        (tarfile.TarInfo("cifar-100-python/link/through"), b"x"),
        (tarfile.TarInfo("cifar-100-python/file.txt~"), b"x"),
    ]
    assert len(cifar100.load_images(archive, pack(archive, members(), others)).labels) == 12
    assert list(tmp_path.iterdir()) == [archive]


def pax_bomb(size):
    """A tar whose first header announces `size` bytes of further headers."""
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, size
    return header.tobuf() + bytes(size)


@pytest.mark.parametrize("where", ["wanted member", "other member", "header"])
def test_a_bomb_does_not_unpack(archive, tmp_path, monkeypatch, where):
    monkeypatch.setattr(cifar, "MAX_UNPACKED_BYTES", 1_000_000)
    size = 50_000_000
    long_bytes = b"\x80\x04B" + struct.pack("<I", size) + bytes(size) + b"."
    if where == "header":
        archive.write_bytes(gzip.compress(pax_bomb(size), 1))
        sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    else:
        name = TRAIN if where == "wanted member" else "other"
        sha256 = pack(archive, members(), [(tarfile.TarInfo(name), long_bytes)])
    assert "unpacks to more than 1,000,000 bytes" in refusal(archive, sha256, tmp_path)


def without(name, entry):
    changed = members()
    content = pickle.loads(changed[name], encoding="latin1")
    del content[entry]
    return changed | {name: python2_pickle(content)}


def with_entry(name, **entries):
    changed = members()
    return changed | {name: python2_pickle(pickle.loads(changed[name], encoding="latin1") | entries)}


FOREIGN = {
    "another archive": ({"readme": b"hello"}, "has no cifar-100-python/meta"),
    "a member short": ({name: data for name, data in members().items() if name != TRAIN}, f"has no {TRAIN}"),
    "an entry short": (without(TRAIN, "fine_labels"), "no entry `fine_labels`"),
    "no pickle": (members() | {TRAIN: b"hello"}, "not an archive of CIFAR-100"),
    "no dict": (members() | {TRAIN: python2_pickle([1])}, "holds a list"),
    "a label short": (with_entry(TRAIN, fine_labels=LABELS[:8]), "one row per label"),
    "a label too large": (with_entry(TRAIN, fine_labels=[3] * 9), "found 0 to 3"),
    "narrow rows": (with_entry(TRAIN, data=PIXELS[:9, :1000]), "(9, 1000)"),
    "no array": (with_entry(TRAIN, data="pixels"), "instead of an array"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_says_what_is_wrong_with_a_foreign_archive(archive, tmp_path, case):
    content, finding = FOREIGN[case]
    assert finding in refusal(archive, pack(archive, content), tmp_path)


def test_refuses_a_member_that_occurs_twice(archive, tmp_path):
    twice = (tarfile.TarInfo(TRAIN), members()[TRAIN])
    assert "occurs twice" in refusal(archive, pack(archive, members(), [twice]), tmp_path)


def test_refuses_a_truncated_archive(archive, tmp_path):
    pack(archive, members())
    whole = archive.read_bytes()
    for length in range(0, len(whole) - 1, len(whole) // 50):
        archive.write_bytes(whole[:length])
        refusal(archive, hashlib.sha256(whole[:length]).hexdigest(), tmp_path)


def test_digits_are_scikit_learns():
    data = digits.load_images()
    # Counts of the UCI test set, as published in its description.
    assert torch.bincount(data.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert data.images.shape == (1797, 3, 8, 8)
    # Its first image, a zero, begins 0 0 5 13 9 1 0 0, in grey values up to 16.
    assert data.images[0, :, 0].tolist() == [[0, 0, 80, 207, 143, 16, 0, 0]] * 3
    assert (int(data.images.min()), int(data.images.max())) == (0, 255)
