"""What a file holds decides what it is, by one rule for collections, for predictions and under `strict`."""

import base64
import io
import struct
import sys
import types

import numpy as np
import pytest
from PIL import Image

from longtail.data.collection import decoding
from longtail.data.collection.decoding import UnreadableImage, decode
from longtail.data.collection.findings import findings_table, require_none
from longtail.data.collection.folder import HEIF_READERS, begins_like_picture
from longtail.data.collection.listing import list_images
from longtail.data.collection.reading import read_collection
from longtail.inference.pictures import find_pictures


def encoded(form, seed=0, **options):
    noise = np.random.default_rng(seed).integers(0, 256, (16, 12, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file := io.BytesIO(), form, **options)
    return file.getvalue()


def tiff(*entries):
    """A TIFF of one pixel with these tags and numbers beside those that it needs."""
    needed = [(256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 0), (278, 1), (279, 1)]
    rows = sorted([*needed, *entries])
    page = struct.pack("<H", len(rows)) + b"".join(
        struct.pack("<HHII", tag, 4, 1, value) for tag, value in rows
    )
    return b"II*\0" + struct.pack("<I", 8) + page + struct.pack("<I", 0)


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(range(256))
REAL_HEIC = """
AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAX1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA
ACJpbG9jAAAAAERAAAEAAQAAAAABoQABAAAAAAAAAD4AAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRt
AAAAAAABAAAA/WlwcnAAAADdaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMA
AAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5j
bHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAAEAAAAABAAAAMAAAAAEAAAAAAAAAAv////AAAAACAAAAEHBp
eGkAAAAAAwgICAAAABhpcG1hAAAAAAAAAAEAAQWBAgMFhAAAAEZtZGF0AAAAOigBr1jm9Oq//+7SuR+ab3/zn/9X/yq+v+6b2v63
BVpX20CeBxS+5VgiZKC37+3EUhbRZpAIH0JYY0g=
"""
PICTURES = {
    **{
        form: encoded(form, 99)
        for form in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "PPM", "AVIF")
    },
    "MPO": encoded("MPO", 99),
}
RAW = {
    "raf": b"FUJIFILMCCD-RAW 0201" + bytes(100),
    "cr3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(100),
    "orf": b"IIRO\x08\0\0\0" + bytes(100),
    "rw2": b"IIU\0\x18\0\0\0" + bytes(100),
    "x3f": b"FOVb" + bytes(100),
    "nef": tiff((254, 1)),
    "dng": tiff((50706, 1)),
    "pef": tiff((33422, 1)),
}
OTHER = {
    "text": b"BMW, P6, GIF and other notes",
    "json": b'{"a": 1}',
    "xmp": b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>",
    "zip": b"PK\x03\x04" + bytes(30),
    "mp4": b"\0\0\0\x18ftypisom" + bytes(30),
    "empty": b"",
    "pdf": b"%PDF-1.7",
}


@pytest.fixture
def root(tmp_path):
    """Two classes of three plain pictures."""
    for number in range(6):
        path = tmp_path / "c" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded("PNG", number))
    return tmp_path / "c"


def read(root):
    return read_collection(list_images(root), 8, root.parent, max_side=1000, min_side=1, near=False)


@pytest.mark.parametrize("form", [*PICTURES])
def test_a_picture_without_its_ending_is_read_by_its_content(root, form):
    names = ["x", "IMG_1234", "x.dat", "x.html", "photo.jpeg;jsessionid=1"]
    for seed, name in enumerate(names):
        (root / "a" / name).write_bytes(encoded(form, 99 + seed))
    found, pictures = read(root), find_pictures([root]).pictures
    for name in names:
        assert f"a/{name}" in set(found.index["path"])
        own = [finding for finding in found.findings if finding.path == f"a/{name}"]
        (finding,) = own if "=" not in name else [one for one in own if one.kind == "ending"]
        assert (finding.kind, finding.refused, finding.action) == ("ending", False, "read by its content")
        assert "not named like one" in finding.found
        assert (str(root / "a" / name), root / "a" / name) in pictures
    assert {finding.path for finding in found.findings} == {f"a/{name}" for name in names}
    require_none(findings_table(found.findings))


@pytest.mark.parametrize(
    ("form", "name"),
    [("JPEG", "x.png"), ("PNG", "x.jpg"), ("WEBP", "x.tif"), ("TIFF", "x.JPG"), ("JPEG", "x.NEF")],
)
def test_a_wrong_ending_is_told_and_the_content_read(root, form, name):
    (root / "a" / name).write_bytes(PICTURES[form])
    found = read(root)
    assert f"a/{name}" in set(found.index["path"])
    (finding,) = found.findings
    assert finding.found == f"is a picture of the format {form}, named {name[1:].lower()}"
    assert decode(root / "a" / name, 8).shape == (3, 8, 8)


@pytest.mark.parametrize("name", ["x.jpg", "x.JPEG", "x.jfif"])
def test_a_right_ending_is_not_told(root, name):
    for form in ("JPEG", "MPO"):
        (root / "a" / name).write_bytes(PICTURES[form])
        assert read(root).findings == []


def cases(contents):
    for kind, content in contents.items():
        for name in (f"x.{kind}", f"X.{kind.upper()}", "x", "x.jpg"):
            yield pytest.param(name, content, id=f"{kind} as {name}")


@pytest.mark.parametrize("kind", RAW)
def test_raw_files_are_named_as_such_and_no_preview_is_taken_for_the_picture(root, kind):
    names = [f"w.{kind}", f"X.{kind.upper()}", "y", "z.jpg"]
    for name in names:
        (root / "a" / name).write_bytes(RAW[kind])
    findings, pictures = read(root).findings, dict(find_pictures([root]).pictures)
    assert sorted(finding.path for finding in findings) == sorted(f"a/{name}" for name in names)
    for finding in findings:
        assert (finding.kind, finding.action, finding.refused) == ("RAW", "left out", True)
        assert "develop it and save the picture as JPEG" in finding.found
    with pytest.raises(ValueError, match="strict refuses this collection: 4 x RAW"):
        require_none(findings_table(findings))
    for name in names:
        assert root / "a" / name in pictures.values()
        with pytest.raises(UnreadableImage, match="is a RAW file of a camera"):
            decode(root / "a" / name, 8)


@pytest.mark.parametrize(
    ("name", "content"), [*cases({"heic": HEIC, "heif": HEIC.replace(b"heic", b"mif1")})]
)
def test_heic_without_its_package_is_told_with_what_to_install(root, name, content, monkeypatch):
    for module in HEIF_READERS:
        monkeypatch.setitem(sys.modules, module, None)
    decoding._can_read_heif.cache_clear()
    (root / "a" / name).write_bytes(content)
    (finding,) = read(root).findings
    assert (finding.path, finding.kind, finding.refused) == (f"a/{name}", "HEIC", True)
    assert "pip install pi-heif" in finding.found
    with pytest.raises(UnreadableImage, match="which needs the package pi-heif"):
        decode(root / "a" / name, 8)
    decoding._can_read_heif.cache_clear()


def test_heic_is_read(root):
    """A picture of 64 x 48 pixels that another program wrote, blue on the left and red on the right."""
    decoding._can_read_heif.cache_clear()
    (root / "a" / "IMG_1.HEIC").write_bytes(base64.b64decode(REAL_HEIC))
    found = read(root)
    row = found.index.set_index("path").loc["a/IMG_1.HEIC"]
    assert (row["width"], row["height"]) == (64, 48)
    place = found.index["path"].tolist().index("a/IMG_1.HEIC")
    left, right = (half.float().mean((1, 2)) for half in found.images.images[place].chunk(2, dim=2))
    assert left.argmax() == 2 and right.argmax() == 0


@pytest.mark.parametrize("reader", HEIF_READERS)
def test_either_package_for_heic_will_do(root, reader, monkeypatch):
    """A package that gives a red picture stands for the real one."""
    module = types.ModuleType(reader)

    def register():
        Image.register_open(
            "HEIF", lambda *_: Image.new("RGB", (9, 7), "red"), lambda start: start[4:8] == b"ftyp"
        )

    module.register_heif_opener = register
    for name in HEIF_READERS:
        monkeypatch.setitem(sys.modules, name, module if name == reader else None)
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    decoding._can_read_heif.cache_clear()
    (root / "a" / "IMG_1.HEIC").write_bytes(HEIC)
    found = read(root)
    decoding._can_read_heif.cache_clear()
    row = found.index.set_index("path").loc["a/IMG_1.HEIC"]
    assert (row["width"], row["height"]) == (9, 7)
    place = found.index["path"].tolist().index("a/IMG_1.HEIC")
    assert found.images.images[place].float().mean((1, 2)).tolist() == [255, 0, 0]


@pytest.mark.parametrize(("name", "content"), [(f"x.{kind}", content) for kind, content in OTHER.items()])
def test_what_is_no_picture_by_name_and_content_gets_a_row_and_strict_takes_it(root, name, content):
    (root / "a" / name).write_bytes(content)
    assert not begins_like_picture(root / "a" / name)
    (finding,) = read(root).findings
    assert (finding.path, finding.kind, finding.refused) == (f"a/{name}", "other file", False)
    told = find_pictures([root])
    assert len(told.pictures) == 6
    assert told.left_out == [f"1 x other file, such as {root}/a/{name}: {finding.found}"]


@pytest.mark.parametrize(("kind", "content"), [*OTHER.items()])
def test_what_is_only_named_like_a_picture_is_left_out_with_a_row_everywhere(root, kind, content):
    (root / "a" / "x.jpg").write_bytes(content)
    found = read(root)
    (finding,) = found.findings
    assert (finding.path, finding.action, finding.refused) == ("a/x.jpg", "left out", True)
    assert root / "a" / "x.jpg" in dict(find_pictures([root]).pictures).values()
    with pytest.raises(UnreadableImage):
        decode(root / "a" / "x.jpg", 8)
