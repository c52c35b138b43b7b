"""Several views of an image in one batch."""

import pytest
import torch
from torchvision.transforms import RandomResizedCrop, v2

from longtail.batches.cropping import draw_boxes, enlarge
from longtail.batches.mixup import Mixer, cut
from longtail.data.tensors.files import LabelledImages
from longtail.machine.randomness import generator
from longtail.training.input import TrainingBatches
from longtail.training.recipe import Recipe


def batches(first_step=0, **more):
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(256, (20, 3, 12, 12), generator=draw, dtype=torch.uint8)
    labels = torch.arange(20) % 4
    train_set = LabelledImages(images, labels, torch.arange(20), list("abcd"))
    recipe = Recipe(epochs=1, batch_size=8, image_size=12, padding=2, augment="trivial", cutout=4)
    counts = torch.bincount(labels)
    made = TrainingBatches(train_set, counts, recipe, 1, torch.device("cpu"), resident=True, **more)
    return [(images.clone(), targets) for images, targets in made.epoch(0, first_step)]


def test_the_first_view_is_that_of_a_batch_with_one_and_each_other_is_drawn_anew():
    single, several = batches(), batches(views=("train", "train", "simclr", "simclr"))
    for (alone, targets), (together, same) in zip(single, several, strict=True):
        first, *others = together.chunk(4)
        assert torch.equal(first, alone) and torch.equal(same.labels, targets.labels)
        pictures = {view.numpy().tobytes() for view in (first, *others)}
        assert len(pictures) == 4
    again = batches(1, views=("train", "train", "simclr", "simclr"))
    assert all(torch.equal(one, other) for (one, _), (other, _) in zip(again, several[1:], strict=True))


def test_an_enlarged_part_is_that_of_torchvision():
    draw = torch.Generator().manual_seed(3)
    images = torch.randint(256, (6, 3, 16, 16), generator=draw).float()
    boxes = draw_boxes(6, 16, (0.2, 1.0), generator(1, "boxes"))
    stretched = images.clone()
    enlarge(stretched, boxes)
    for own, image, (top, height, left, width) in zip(stretched, images, boxes.T.tolist(), strict=True):
        expected = v2.functional.resized_crop(image, top, left, height, width, [16, 16], antialias=True)
        torch.testing.assert_close(own, expected, rtol=0, atol=1e-3)


def test_parts_have_the_shares_and_ratios_of_torchvision():
    top, height, left, width = draw_boxes(20000, 64, (0.2, 1.0), generator(1, "boxes"))
    assert min(top.min(), left.min()) == 0 and max((top + height).max(), (left + width).max()) == 64
    torch.manual_seed(0)
    image = torch.zeros(3, 64, 64)
    draws = [RandomResizedCrop.get_params(image, [0.2, 1.0], [3 / 4, 4 / 3]) for _ in range(4000)]
    theirs = torch.tensor(draws).T.double()
    for ours, expected in zip((top, left, height, width), theirs, strict=True):
        assert ours.double().mean().item() == pytest.approx(expected.mean().item(), abs=0.7)
        assert ours.double().std().item() == pytest.approx(expected.std().item(), abs=0.7)


def test_the_views_of_an_image_are_mixed_with_the_same_one_in_the_same_share():
    images = torch.rand(8, 3, 10, 10)
    labels = torch.tensor([0, 1, 2, 3])
    place = torch.ones(4, dtype=torch.int64), 2, 4, 1, 0, torch.device("cpu")
    mixer = Mixer(1.0, None, *place, views=("input", "cutmix"))
    mixed, targets = mixer(0, images, labels)
    share = mixer.lambdas[0]
    partners = targets.others  # the labels are the places
    assert torch.equal(targets.share, torch.full((4,), share))
    torch.testing.assert_close(mixed[:4], share * images[:4] + (1 - share) * images[:4][partners])
    rows, columns = cut(10, 10, share, mixer.centres[0])
    expected = images[4:].clone()
    expected[..., rows, columns] = images[4:][partners][..., rows, columns]
    assert torch.equal(mixed[4:], expected)
