"""How pictures become squares: as Pillow does it, in a collection as in prediction, whatever their sides."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from torch.nn import functional as F

from longtail.config.load import ConfigError, load_config
from longtail.data.collection.decoding import decode
from longtail.data.collection.listing import list_images
from longtail.data.collection.reading import read_collection
from longtail.data.collection.shape import RESIZES, Shape

SHAPES = [Shape("stretch"), Shape("crop"), Shape("pad"), Shape("pad", (255, 0, 7)), Shape("pad", "reflect")]


def noise(width, height, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@settings(max_examples=60)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40))
def test_every_picture_becomes_the_square_that_pillow_makes_of_it(width, height, size):
    picture, square, method = noise(width, height), (size, size), Image.Resampling.BILINEAR
    expected = {"stretch": picture.resize(square, method), "crop": ImageOps.fit(picture, square, method)}
    # Pillow rounds the shorter side of a picture that is too narrow to 0 pixels, which it then refuses.
    if round(min(width, height) * size / max(width, height)) >= 1:
        expected["pad"] = ImageOps.pad(picture, square, method, color=(255, 0, 7))
    for resize, image in expected.items():
        found = Shape(resize, (255, 0, 7)).square(picture, size)
        np.testing.assert_array_equal(np.asarray(found), np.asarray(image))


@pytest.mark.parametrize(("width", "height"), [(30, 20), (20, 30), (24, 24), (31, 18)])
def test_reflection_mirrors_the_picture_at_its_edges(width, height):
    found = np.asarray(Shape("pad", "reflect").square(noise(width, height), 16))
    left, top, right, bottom = Shape("pad").content(width, height, 16)
    inner = torch.from_numpy(found[top:bottom, left:right].copy()).permute(2, 0, 1)[None].float()
    expected = F.pad(inner, (left, 16 - right, top, 16 - bottom), mode="reflect")[0]
    np.testing.assert_array_equal(found.transpose(2, 0, 1), expected.numpy())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 300), (300, 1), (2, 3000), (299, 300)])
def test_no_proportions_are_too_extreme(shape, width, height):
    picture = Image.new("RGB", (width, height), (10, 200, 30))
    square = np.asarray(shape.square(picture, 16))
    assert square.shape == (16, 16, 3)
    left, top, right, bottom = shape.content(width, height, 16)
    assert (square[top:bottom, left:right] == (10, 200, 30)).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_collection_and_a_prediction_see_the_same_pixels(tmp_path, shape):
    exif = Image.Exif()
    exif[0x0112] = 6
    for number, (width, height) in enumerate([(40, 12), (12, 40), (25, 25), (9, 41)]):
        folder = tmp_path / "c" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        noise(width, height, number).save(folder / f"{number}.jpg", exif=exif)
    found = read_collection(list_images(tmp_path / "c"), 16, tmp_path, max_side=100, min_side=2, shape=shape)
    for path, image in zip(found.index["path"], found.images.images, strict=True):
        assert torch.equal(image, decode(tmp_path / "c" / path, 16, shape=shape))


def test_borders_make_no_pictures_look_alike(tmp_path):
    for number in range(12):
        folder = tmp_path / "c" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        noise(4, 5, number).resize((90, 9)).save(folder / f"{number}.png")
    for shape in SHAPES:
        found = read_collection(
            list_images(tmp_path / "c"), 32, tmp_path, max_side=100, min_side=2, shape=shape
        )
        assert [finding for finding in found.findings if "duplicate" in finding.kind] == []


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"resize": "squash"},
            "data.image_folder.resize: found 'squash'; input should be 'stretch', 'pad' or 'crop'",
        ),
        ({"pad_with": "reflect"}, "pad_with fills the border of resize: pad, and resize is stretch"),
        ({"resize": "crop", "pad_with": [0, 0, 0]}, "and resize is crop; set resize: pad, or pad_with: null"),
        (
            {"resize": "pad", "pad_with": "mirror"},
            "found 'mirror'; expected reflect, or a colour [red, green, blue]",
        ),
        ({"resize": "pad", "pad_with": [0, 0, 256]}, "found [0, 0, 256]; expected reflect, or a colour"),
        ({"resize": "pad", "pad_with": [0, 0]}, "found [0, 0]; expected reflect, or a colour"),
        ({"resize": "pad", "pad_with": 0.5}, "found 0.5; expected reflect, or a colour"),
    ],
)
def test_settings_that_make_no_sense_are_refused(entry, message):
    with pytest.raises(ConfigError) as caught:
        load_config({"data": {"image_folder": entry}})
    assert message in "\n".join(caught.value.problems)


def test_every_way_can_be_configured():
    for resize in RESIZES:
        assert load_config({"data": {"image_folder": {"resize": resize}}}).data.image_folder.resize == resize
    for border in ([1, 2, 3], "reflect", ["1", "2", "3"]):  # numbers after --config are text
        folder = load_config(
            {"data": {"image_folder": {"resize": "pad", "pad_with": border}}}
        ).data.image_folder
        assert folder.pad_with == ("reflect" if border == "reflect" else (1, 2, 3))
