"""Samplers: which images an epoch sees."""

import json
from pathlib import Path

import pytest
import torch

from longtail.batches.sampling import SAMPLERS, class_probabilities, sample
from longtail.machine.randomness import generator
from longtail.training.recipe import Recipe

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "training.json").read_text())["drs"]["cases"]
COUNTS = torch.tensor([9, 4, 1, 0])


@pytest.mark.parametrize(
    ("name", "epoch", "expected"),
    [
        ("instance", 0, [9 / 14, 4 / 14, 1 / 14, 0]),
        ("class_balanced", 0, [1 / 3, 1 / 3, 1 / 3, 0]),
        ("square_root", 0, [3 / 6, 2 / 6, 1 / 6, 0]),
        ("progressive", 0, [9 / 14, 4 / 14, 1 / 14, 0]),
        ("progressive", 5, [(9 / 14 + 1 / 3) / 2, (4 / 14 + 1 / 3) / 2, (1 / 14 + 1 / 3) / 2, 0]),
    ],
)
def test_class_probabilities_by_hand(name, epoch, expected):
    assert class_probabilities(name, COUNTS, epoch=epoch, epochs=10).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("name", SAMPLERS[1:])
def test_an_epoch_has_its_classes_in_these_shares_and_each_image_of_a_class_as_often(name):
    counts = torch.tensor([3000, 900, 100])
    labels = torch.repeat_interleave(torch.arange(3), counts)
    drawn = torch.cat(
        [
            sample(name, labels, counts, epoch=3, epochs=10, generator=generator(seed, "sampler"))
            for seed in range(5)
        ]
    )
    assert len(drawn) == 5 * len(labels)
    found = torch.bincount(labels[drawn]) / len(drawn)
    torch.testing.assert_close(
        found.double(), class_probabilities(name, counts, epoch=3, epochs=10), atol=0.02, rtol=0
    )
    rarest = torch.bincount(drawn[labels[drawn] == 2] - 3900, minlength=100).double()
    # Poisson counts: the variance over the images is about their mean.
    assert 0.5 < rarest.var() / rarest.mean() < 1.7


def test_the_plain_sampler_leaves_the_order_to_the_feed():
    assert sample("instance", COUNTS, COUNTS, epoch=0, epochs=1, generator=torch.Generator()) is None


@pytest.mark.parametrize("case", GOLDEN)
def test_deferred_re_sampling_begins_and_draws_as_the_references(case):
    epochs, start = case["hyper"]["epochs"], case["hyper"]["start_epoch"]
    recipe = Recipe(epochs=epochs, sampler="class_balanced", sampler_start=start / epochs)
    for row in case["by_epoch"]:
        assert (row["epoch_from_1"] - 1 >= recipe.first_sampled) == row["resampling_active"]
        # The reference counts its epochs from 1, so that its last one is balanced altogether; ours count from 0.
        shares = class_probabilities(
            "progressive", torch.tensor(case["counts"]), epoch=row["epoch_from_1"], epochs=epochs
        )
        assert [shares[0].item(), shares[-1].item()] == pytest.approx(
            row["progressive_p_first_last"], abs=1e-12
        )
