"""Picture files of every kind become the same uint8 RGB tensors, or one error that says why not."""

import io
import pickle
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from longtail.data.collection.decoding import UnreadableImage, decode

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
        (
            _bytes(Image.new("1", (10_000, 9_000)), format="PNG"),
            "has 10000 x 9000 pixels, more than the limit",
        ),
        (_bytes(Image.new("1", (20_000, 9_000)), format="PNG"), "cannot be decoded: .*exceeds limit"),
    ],
)
def test_what_gives_no_picture_gives_one_error_with_path_and_reason(tmp_path, content, reason):
    path = tmp_path / "broken.jpg"
    path.write_bytes(content)
    with warnings.catch_warnings(), pytest.raises(UnreadableImage, match=reason) as caught:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
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
