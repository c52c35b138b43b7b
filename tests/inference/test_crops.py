"""Test-time ensembling: logits as the mean over crops."""

import numpy as np
import pytest
import torch
from programs import run_program
from torchvision.transforms import v2

from longtail.data.tensors.files import load_tensors
from longtail.files.parquet import read_parquet
from longtail.inference.logits import crop_views, logits_of
from longtail.models.file import load_model


@pytest.mark.parametrize("expand", [4, 3, 1])
@pytest.mark.parametrize(("crops", "theirs"), [("five", v2.FiveCrop), ("ten", v2.TenCrop)])
def test_logits_are_the_mean_over_torchvisions_crops(base, digits, crops, theirs, expand):
    model, card = load_model(base)
    images = load_tensors(digits / "test.pth").images[:9]
    size = card.image_size
    prepare = v2.Compose(
        [
            v2.ToDtype(torch.float32, scale=True),
            v2.Resize((size + expand, size + expand), antialias=True),
            v2.Normalize(card.mean, card.std),
        ]
    )
    with torch.no_grad():
        expected = torch.stack([model(view) for view in theirs(size)(prepare(images))]).mean(0)
    found = logits_of(model, images, card, torch.device("cpu"), 4, crops=crops, expand=expand)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    whole = logits_of(model, images, card, torch.device("cpu"), 4)
    assert (whole - found).abs().max() > 1e-3


def test_the_script_averages_over_crops_where_it_is_told_to(base, digits, tmp_path):
    def predicted(**options):
        out = tmp_path / "predictions.parquet"
        run_program("predict", model=base, tensors=digits / "test.pth", output=out, **options)
        return torch.tensor(np.stack(read_parquet(out)["logits"]))

    model, card = load_model(base)
    images = load_tensors(digits / "test.pth").images
    torch.testing.assert_close(predicted(), logits_of(model, images, card, torch.device("cpu")))
    settings = {"crops": "five", "expand": 4}
    expected = logits_of(model, images, card, torch.device("cpu"), **settings)
    torch.testing.assert_close(predicted(settings=settings), expected)


@pytest.mark.parametrize(("crops", "expand"), [("five", 0), ("nine", 4)])
def test_crops_that_there_are_not_are_refused(crops, expand):
    with pytest.raises(ValueError, match=f"crops is '{crops}' and expand {expand}; allowed: five or ten"):
        crop_views(crops, expand)
