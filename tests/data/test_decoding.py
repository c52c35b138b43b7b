"""Picture files of every kind become the same uint8 RGB tensors, or one error that says why not."""

import io
import os
import pickle
import socket
import struct
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from longtail.data.collection import decoding
from longtail.data.collection.decoding import (
    MAX_JPEG_SCANS,
    Share,
    UnreadableImage,
    content_of,
    decode,
    to_rgb,
)
from longtail.data.collection.file import inspect
from longtail.data.collection.listing import Entry

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
PICTURE = Image.fromarray(PIXELS)


@pytest.fixture
def saved(tmp_path):
    def save(image, name="picture.png", **options):
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return save


def array(tensor):
    return tensor.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tiff", "a.ppm", "a.webp"])
def test_lossless_files_give_their_pixels_back(saved, name):
    options = {"lossless": True} if name.endswith("webp") else {}
    found = decode(saved(PICTURE, name, **options), None)
    assert (found.dtype, found.shape) == (torch.uint8, (3, 6, 9))
    np.testing.assert_array_equal(array(found), PIXELS)


@pytest.mark.parametrize("size", [4, 8, 40])
def test_the_resize_is_torchvisions_to_rounding(saved, size):
    image = Image.fromarray(RNG.integers(0, 256, (21, 34, 3), dtype=np.uint8))
    expected = v2.functional.resize(
        v2.functional.to_dtype(v2.functional.pil_to_tensor(image), torch.float32, scale=True),
        [size, size],
        antialias=True,
    )
    difference = decode(saved(image), size) / 255 - expected
    # Pillow rounds to 8 bits after each of the two directions.
    assert difference.abs().max() < 1.1 / 255


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(saved, orientation):
    # What the EXIF standard says the stored picture looks like, undone by hand.
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a, 1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(array(decode(saved(PICTURE, exif=exif), None)), undo(PIXELS))


def test_16_bit_grey_keeps_its_leading_bits(saved):
    values = np.array([[0, 255, 256], [32768, 65279, 65535]], dtype=np.uint16)
    found = decode(saved(Image.fromarray(values)), None)
    np.testing.assert_array_equal(found, [[[0, 0, 1], [128, 254, 255]]] * 3)


def test_an_animation_gives_its_first_frame(saved):
    frames = [Image.new("RGB", (5, 4), colour) for colour in ("red", "blue")]
    path = saved(frames[0], "a.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode(path, None)[:, 0, 0], [255, 0, 0])


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparent_parts_become_white(saved, mode):
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 255))
    path = saved(image.convert(mode), "a.tiff" if mode == "PA" else "a.png")
    np.testing.assert_array_equal(decode(path, None)[0], [[255, 0]])


def test_a_transparent_palette_colour_becomes_white(saved):
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 0, 0, 200])
    image.putpixel((1, 0), 1)
    found = decode(saved(image, transparency=0), None)
    np.testing.assert_array_equal(array(found)[0], [[255, 255, 255], [0, 0, 200]])


@pytest.mark.parametrize(("ink", "expected"), [((0, 0, 0, 0), 255), ((0, 0, 0, 255), 0)])
def test_cmyk_becomes_rgb(saved, ink, expected):
    found = decode(saved(Image.new("CMYK", (8, 8), ink), "a.jpg"), None)
    assert found.unique().tolist() == [expected]


@pytest.mark.parametrize("mode", ["1", "L", "P", "YCbCr"])
def test_other_modes_become_rgb(saved, mode):
    image = PICTURE.convert(mode)
    name = "a.jpg" if mode == "YCbCr" else "a.png"
    assert decode(saved(image, name), 16).shape == (3, 16, 16)


def _bytes(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def _says(width, height):
    """A PNG of one pixel whose header says that it has this size."""
    content = bytearray(_bytes(Image.new("1", (1, 1)), format="PNG"))
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


LARGE = Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"not a picture at all", "is no picture in a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is no picture in a known format"),
        (_bytes(LARGE, format="JPEG")[:900], "cannot be decoded: .*truncated"),
        (_bytes(LARGE, format="PNG")[:900], "cannot be decoded"),
        (_bytes(LARGE, format="PNG")[:20], "cannot be decoded|no picture"),
        (_bytes(LARGE, format="WEBP")[:300], "cannot be decoded|no picture"),
        (_bytes(Image.new("F", (3, 3)), format="TIFF"), "cannot be decoded: floating-point"),
        (_bytes(Image.new("I", (3, 3), 70000), format="TIFF"), "cannot be decoded: 32-bit"),
        (_says(10_000, 9_000), "has 10000 x 9000 pixels, more than the limit"),
        (_says(20_000, 9_000), "has 20000 x 9000 pixels, more than the limit"),
    ],
)
def test_what_gives_no_picture_gives_one_error_with_path_and_reason(tmp_path, content, reason):
    path = tmp_path / "broken.jpg"
    path.write_bytes(content)
    with pytest.raises(UnreadableImage, match=reason) as caught:
        decode(path, 8)
    assert str(caught.value).startswith(f"{path}: ")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.path, again.reason) == (str(caught.value), str(path), caught.value.reason)


def test_missing_files_folders_and_the_limit_are_named(tmp_path, saved):
    with pytest.raises(UnreadableImage, match="does not exist"):
        decode(tmp_path / "none.png", 8)
    with pytest.raises(UnreadableImage, match="is a folder"):
        decode(tmp_path, 8)
    with pytest.raises(UnreadableImage, match="has 9 x 6 pixels, more than the limit of 53"):
        decode(saved(PICTURE), 8, max_pixels=53)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_a_tiff_is_turned_once(saved, mode, orientation):
    # Pillow turns a TIFF itself, and its reading of a file on disk without compression garbles the grey ones.
    image = (
        Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257) if mode == "I;16" else PICTURE.convert(mode)
    )
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = array(decode(saved(image, "plain.tiff"), None))
    turns = {3: 2, 6: -1, 8: 1}
    mirrored = {2: upright[:, ::-1], 4: upright[::-1], 5: upright.swapaxes(0, 1)}
    mirrored[7] = mirrored[5][::-1, ::-1]
    expected = (
        mirrored[orientation] if orientation in mirrored else np.rot90(upright, turns.get(orientation, 0))
    )
    np.testing.assert_array_equal(array(decode(saved(image, "turned.tiff", exif=exif), None)), expected)


# -- limits


def fifo(path):
    os.mkfifo(path)


def socket_file(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def sparse(path):
    with path.open("wb") as file:
        file.truncate(60 * 10**9)


@pytest.mark.parametrize(
    ("make", "kind", "reason"),
    [
        (fifo, "no file", "is a FIFO"),
        (socket_file, "no file", "is a socket"),
        (lambda path: path.symlink_to("/dev/zero"), "no file", "is a device"),
        (lambda path: path.mkdir(), "no file", "is a folder"),
        (sparse, "too large", "has 60,000,000,000 bytes, more than the limit of 536,870,912"),
        (
            lambda path: path.symlink_to(path),
            "unreadable",
            "cannot be read: Too many levels of symbolic links",
        ),
        (lambda path: path.symlink_to("/proc/self/mem"), "empty", "is empty"),
        (lambda path: None, "unreadable", "does not exist"),
        (lambda path: (path.parent / "x").write_text(""), "unreadable", "does not exist"),
    ],
)
def test_what_is_no_file_ends_at_once_and_says_so(tmp_path, make, kind, reason):
    path = tmp_path / "a.png"
    make(path)
    started = time.monotonic()
    with pytest.raises(UnreadableImage) as caught:
        decode(path, 8)
    assert time.monotonic() - started < 2
    assert (caught.value.kind, caught.value.reason) == (kind, reason)


def test_a_fifo_that_takes_the_place_of_a_file_is_not_waited_for(saved, monkeypatch):
    path = saved(PICTURE)
    real = os.open

    def exchange(name, flags):
        path.unlink()
        os.mkfifo(path)
        return real(name, flags)

    monkeypatch.setattr(os, "open", exchange)
    with pytest.raises(UnreadableImage, match="is a FIFO"):
        decode(path, 8)


def test_a_file_that_grows_is_read_to_its_first_end_and_one_that_disappears_is_named(saved, monkeypatch):
    path = saved(PICTURE)
    size = path.stat().st_size
    real = os.fstat

    def grow(descriptor):
        status = real(descriptor)
        with path.open("ab") as file:
            file.write(bytes(10**6))
        return status

    monkeypatch.setattr(os, "fstat", grow)
    with content_of(path) as content:
        assert len(content) == size
    monkeypatch.undo()
    opened = os.open
    monkeypatch.setattr(os, "open", lambda *words: path.unlink() or opened(*words))
    with pytest.raises(UnreadableImage, match="does not exist"):
        decode(path, 8)


def with_scans(number):
    """A progressive JPEG with its last scan repeated until there are so many."""
    content = _bytes(LARGE, format="JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:-2] + content[last:-2] * (number - content.count(b"\xff\xda")) + content[-2:]


def test_a_jpeg_of_many_scans_is_refused(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(with_scans(MAX_JPEG_SCANS))
    assert decode(path, 8).shape == (3, 8, 8)
    path.write_bytes(with_scans(MAX_JPEG_SCANS + 1))
    with pytest.raises(UnreadableImage, match="it has more than 50 scans"):
        decode(path, 8)


def test_scans_are_not_looked_for_behind_the_end_of_a_picture_or_in_a_profile(tmp_path):
    # Phones append films to photographs, and any bytes may stand in a segment.
    other = b"\xff\xe1" + (2 + 400).to_bytes(2) + b"\xff\xda" * 200
    content = _bytes(LARGE, format="JPEG")
    (tmp_path / "a.jpg").write_bytes(content[:2] + other + content[2:] + b"\xff\xda" * 999)
    assert decode(tmp_path / "a.jpg", 8).shape == (3, 8, 8)


def test_a_jpeg_of_many_segments_is_refused(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"\xff\xd8" + b"\xff\xe0\x00\x02" * 10**6)
    with pytest.raises(UnreadableImage, match="it has more than 10,000 segments"):
        decode(path, 8)


def test_a_jpeg_of_more_pixels_is_decoded_at_half_its_size(saved):
    path = saved(LARGE.resize((640, 480)), "a.jpg", quality=95)
    whole, half = decode(path, 64), decode(path, 64, max_pixels=640 * 480 - 1)
    assert decode(path, None, max_pixels=640 * 480 - 1).shape == (3, 240, 320)
    assert (whole.int() - half.int()).abs().float().mean() < 2
    with pytest.raises(UnreadableImage, match="has 640 x 480 pixels, more than the limit of 1,000"):
        decode(path, 64, max_pixels=1000)


@pytest.mark.parametrize("pages", [2, 3000])
def test_one_page_of_a_tiff_is_read_and_the_others_are_not_counted(tmp_path, pages):
    # The header, and pages of 8 entries whose one pixel is the header's first byte.
    entries = [(256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 0), (278, 1), (279, 1)]
    page = struct.pack("<H", 8) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    offsets = [8 + (len(page) + 4) * (number + 1) for number in range(pages - 1)] + [0]
    content = b"II*\0" + struct.pack("<I", 8) + b"".join(page + struct.pack("<I", next_) for next_ in offsets)
    (tmp_path / "a.tif").write_bytes(content)
    started = time.monotonic()
    found = inspect(tmp_path, Entry("a.tif", "x"), 8, max_side=10, min_side=1)
    assert time.monotonic() - started < 1
    assert [(finding.kind, finding.found) for finding in found.findings] == [
        ("animated", "has several frames or pages")
    ]
    assert (found.pixels == ord("I")).all()


@pytest.mark.parametrize(
    "image",
    [
        *(PICTURE.convert(mode) for mode in ("1", "L", "P", "CMYK", "YCbCr", "HSV", "LA", "PA", "RGBA")),
        Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257),
        Image.fromarray(PIXELS[..., 0].astype(np.int32) * 257),
    ],
    ids=lambda image: image.mode,
)
def test_colours_are_the_same_strip_by_strip(image, monkeypatch):
    whole = to_rgb(image)
    assert whole.size == image.size
    monkeypatch.setattr(decoding, "STRIP", 2 * image.width)
    np.testing.assert_array_equal(np.array(to_rgb(image)), np.array(whole))


def test_threads_never_take_more_than_their_share():
    share, now, most = Share(10), [], []

    def work(amount):
        with share.of(amount):
            now.append(min(amount, 10))
            most.append(sum(now))
            time.sleep(0.001)
            now.remove(min(amount, 10))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [3, 4, 99, 1, 10, 6] * 10))
    assert max(most) <= 10
    assert len(most) == 60


@pytest.mark.long
def test_eight_threads_decode_large_pictures_in_the_stated_memory(tmp_path):
    Image.new("RGB", (9459, 9459)).save(tmp_path / "a.png")
    code = (
        "import resource, sys\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from longtail.data.collection.decoding import decode\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20\n"
        "before = peak()\n"
        "list(ThreadPoolExecutor(8).map(lambda _: decode(sys.argv[1], 8), range(8)))\n"
        "print(peak() - before)\n"
    )
    taken = subprocess.check_output([sys.executable, "-c", code, str(tmp_path / "a.png")], text=True)
    assert float(taken) < 2, "GiB"
