"""The batched feed equals torchvision's per-image chain and gives each image its own crop and flip."""

import math
import threading

import pytest
import torch
from torchvision.transforms import v2

from longtail.batches.feed import FLIPS, Feed
from longtail.batches.policies import AUTOAUGMENT, INVERT, OPERATIONS, POLICIES, Plan, Policy, strengths
from longtail.machine.randomness import generator

MEAN, STD = [0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]
DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()


def random_images(count, height, width):
    return torch.randint(
        0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator(0, "images")
    )


def make_feed(images, **settings):
    settings = {"size": images.shape[-1], "batch_size": 128, "mean": MEAN, "std": STD} | settings
    return Feed(images, torch.arange(len(images)), **settings)


def copies(batches):
    return [(images.clone(), labels.clone()) for images, labels in batches]


def assert_same_bytes(batches, expected):
    assert len(batches) == len(expected)
    for (images, labels), (expected_images, expected_labels) in zip(batches, expected, strict=True):
        assert torch.equal(images, expected_images)
        assert torch.equal(labels, expected_labels)


def every_crop_by_torchvision(image, size, resize, padding, flips="horizontal"):
    """Each crop offset and flip of one image, as torchvision makes it: variants x 3 x size x size."""
    prepare = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Resize((resize, resize), antialias=True)])
    bordered = v2.Pad(padding)(prepare(image))
    offsets = range(resize + 2 * padding - size + 1)
    crops = [v2.functional.crop(bordered, top, left, size, size) for top in offsets for left in offsets]
    crops += [v2.functional.horizontal_flip(crop) for crop in crops]
    if flips == "both":
        crops += [v2.functional.vertical_flip(crop) for crop in crops]
    if flips == "d4":
        crops = [v2.functional.rotate(crop, 90 * turns) for crop in crops for turns in range(4)]
    return v2.Normalize(MEAN, STD)(torch.stack(crops))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("height", "width", "size", "resize", "padding", "channels_last", "flips"),
    [
        (8, 8, 16, 16, 4, False, "horizontal"),
        (32, 32, 32, 32, 4, True, "horizontal"),
        (32, 32, 64, 64, 4, False, "horizontal"),
        (32, 32, 96, 96, 4, True, "horizontal"),
        (64, 64, 48, 48, 4, True, "horizontal"),  # antialiased
        (24, 36, 32, 32, 4, False, "horizontal"),
        (24, 36, 32, 37, 1, True, "horizontal"),
        (37, 37, 32, 37, 1, False, "horizontal"),
        (37, 37, 32, 37, 1, True, "horizontal"),
        (32, 32, 32, 32, 2, True, "both"),
        (24, 36, 32, 32, 2, False, "both"),
        (32, 32, 32, 32, 1, False, "d4"),
        (32, 32, 32, 32, 1, True, "d4"),
        (24, 36, 32, 33, 1, True, "d4"),
        (64, 64, 48, 48, 1, False, "d4"),
    ],
)
def test_training_batches_are_torchvision_crops_and_all_of_them(
    height, width, size, resize, padding, channels_last, flips, device
):
    image = random_images(1, height, width)
    variants = every_crop_by_torchvision(image[0], size, resize, padding, flips)
    assert len(variants) in {"horizontal": (162, 128), "both": (100,), "d4": (72, 128)}[flips]

    feed = make_feed(
        image,
        size=size,
        resize=resize,
        padding=padding,
        flip=True,
        flips=flips,
        channels_last=channels_last,
        device=device,
    )
    seen = torch.zeros(len(variants))
    sample = slice(None, None, size // 8)
    samples = variants[:, :, sample, sample].flatten(1)
    for batch, _ in feed.epoch(generator(1, "order"), indices=[0] * 1664):
        assert batch.is_contiguous(memory_format=torch.channels_last) == channels_last
        # Some pixels tell which variant it should be; the first time it is seen, all of them must agree.
        which = torch.cdist(batch[:, :, sample, sample].flatten(1).cpu(), samples).argmin(dim=1)
        first = seen[which] == 0
        torch.testing.assert_close(batch.cpu()[first], variants[which[first]], rtol=0, atol=1e-5)
        seen += torch.bincount(which, minlength=len(variants))

    # Uniform: the chi-square statistic stays within six standard deviations of its mean, and none is missing.
    freedom = len(variants) - 1
    expected = seen.sum() / len(variants)
    assert ((seen - expected) ** 2 / expected).sum() < freedom + 6 * math.sqrt(2 * freedom)
    assert seen.min() > 0


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(
    ("height", "width", "size", "resize"),
    [
        (8, 8, 16, 16),
        (32, 32, 32, 32),
        (32, 32, 64, 72),
        (64, 64, 48, 48),
        (24, 36, 32, 37),
        (24, 36, 32, 35),
        (37, 37, 32, 37),
    ],
)
def test_evaluation_is_resize_centre_crop_normalise(height, width, size, resize, channels_last):
    images = random_images(10, height, width)
    chain = v2.Compose(
        [
            v2.ToDtype(torch.float32, scale=True),
            v2.Resize((resize, resize), antialias=True),
            v2.CenterCrop(size),
            v2.Normalize(MEAN, STD),
        ]
    )
    feed = make_feed(
        images, size=size, resize=resize, padding=4, flip=True, batch_size=4, channels_last=channels_last
    )
    batches = copies(feed.in_order())
    assert [len(labels) for _, labels in batches] == [4, 4, 2]
    assert torch.equal(torch.cat([labels for _, labels in batches]), torch.arange(10))
    torch.testing.assert_close(torch.cat([batch for batch, _ in batches]), chain(images), rtol=0, atol=1e-5)


def test_evaluation_keeps_a_last_batch_of_one():
    batches = copies(make_feed(random_images(9, 8, 8), batch_size=4).in_order())
    assert [len(labels) for _, labels in batches] == [4, 4, 1]


def test_an_epoch_has_every_image_once_with_its_own_label():
    images = random_images(300, 8, 8)
    batches = copies(make_feed(images, batch_size=128).epoch(generator(0, "order")))
    assert [len(labels) for _, labels in batches] == [128, 128, 44]
    labels = torch.cat([labels for _, labels in batches])
    assert torch.equal(labels.sort().values, torch.arange(300))
    assert not torch.equal(labels, torch.arange(300))
    expected = v2.Normalize(MEAN, STD)(v2.ToDtype(torch.float32, scale=True)(images[labels]))
    torch.testing.assert_close(torch.cat([batch for batch, _ in batches]), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("images", "steps"), [(257, [128, 128]), (258, [128, 128, 2]), (1, [1])])
def test_a_last_training_batch_of_one_image_is_left_out(images, steps):
    feed = make_feed(random_images(images, 8, 8), batch_size=128)
    assert [len(labels) for _, labels in feed.epoch(generator(0, "order"))] == steps
    assert feed.steps() == len(steps)


def test_an_epoch_is_a_function_of_its_generator():
    feed = make_feed(random_images(50, 8, 8), size=16, padding=4, flip=True, batch_size=16)
    first = copies(feed.epoch(generator(0, "order", epoch=3)))
    assert_same_bytes(copies(feed.epoch(generator(0, "order", epoch=3))), first)
    other = copies(feed.epoch(generator(0, "order", epoch=4)))
    assert not torch.equal(other[0][1], first[0][1])


def test_an_epoch_is_the_same_bytes_with_another_number_of_threads():
    images = random_images(64, 32, 32)
    threads = torch.get_num_threads()
    epochs = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            feed = make_feed(images, size=64, padding=4, flip=True, channels_last=True)
            epochs.append(copies(feed.epoch(generator(0, "order"))))
    finally:
        torch.set_num_threads(threads)
    assert_same_bytes(*epochs)


@pytest.mark.parametrize("flips", FLIPS)
@pytest.mark.parametrize("indices", [None, [0, 3, 3, 7] * 9])
def test_a_later_start_has_the_batches_of_the_whole_epoch(indices, flips):
    feed = make_feed(random_images(36, 8, 8), size=16, padding=4, flip=True, flips=flips, batch_size=8)
    whole = copies(feed.epoch(generator(0, "order"), indices=indices))
    assert len(whole) == 5
    for start in range(6):
        tail = copies(feed.epoch(generator(0, "order"), indices=indices, start_step=start))
        assert_same_bytes(tail, whole[start:])


def test_indices_choose_the_images_and_their_order():
    feed = make_feed(random_images(10, 8, 8), batch_size=4)
    batches = feed.epoch(generator(0, "order"), indices=torch.tensor([9, 1, 1, 5, 0, 9]))
    assert torch.cat([labels for _, labels in batches]).tolist() == [9, 1, 1, 5, 0, 9]


def test_training_on_the_reused_buffer_is_training_on_copies():
    images = random_images(40, 8, 8)
    weights = []
    for hold in (lambda batch: batch, torch.Tensor.clone):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.LazyLinear(40))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        feed = make_feed(images, padding=2, flip=True, batch_size=16)
        for epoch in range(2):
            for batch, labels in feed.epoch(generator(0, "order", epoch)):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(hold(batch)), labels).backward()
                optimizer.step()
        weights.append(torch.cat([parameter.flatten() for parameter in model.parameters()]))
    assert torch.equal(*weights)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_backward_through_an_overwritten_batch_is_refused(dtype):
    batches = make_feed(random_images(8, 8, 8), batch_size=4, dtype=dtype).in_order()
    weight = torch.ones(1, 3, 3, 3, requires_grad=True, dtype=dtype)
    output = torch.nn.functional.conv2d(next(batches)[0], weight).sum()
    next(batches)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.backward()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_narrow_dtype_is_the_float32_batch_rounded_once(dtype, device):
    images = random_images(20, 32, 32)
    settings = {"size": 64, "padding": 4, "flip": True, "channels_last": True, "device": device}
    exact = copies(make_feed(images, **settings).epoch(generator(0, "order")))
    narrow = copies(make_feed(images, **settings, dtype=dtype).epoch(generator(0, "order")))
    assert narrow[0][0].is_contiguous(memory_format=torch.channels_last)
    assert_same_bytes(narrow, [(batch.to(dtype), labels) for batch, labels in exact])


@pytest.mark.parametrize("device", DEVICES)
def test_the_precision_chosen_for_the_model_does_not_reach_the_images(device):
    feed = make_feed(random_images(20, 32, 32), size=64, padding=4, flip=True, device=device)
    exact = copies(feed.epoch(generator(0, "order")))
    backend = torch.backends.cuda.matmul
    before = backend.fp32_precision
    try:
        backend.fp32_precision = "tf32"
        with torch.autocast(device, torch.bfloat16):
            assert_same_bytes(copies(feed.epoch(generator(0, "order"))), exact)
        assert backend.fp32_precision == "tf32"
    finally:
        backend.fp32_precision = before


def test_images_may_stay_in_a_memory_mapped_file(tmp_path):
    images = random_images(20, 8, 8)
    images.numpy().tofile(tmp_path / "images.bin")
    mapped = torch.from_file(str(tmp_path / "images.bin"), size=images.numel(), dtype=torch.uint8)
    feed = make_feed(mapped.view_as(images), size=16, padding=4, flip=True)
    expected = make_feed(images, size=16, padding=4, flip=True)
    assert feed.images.data_ptr() == mapped.data_ptr()
    assert_same_bytes(
        copies(feed.epoch(generator(0, "order"))), copies(expected.epoch(generator(0, "order")))
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("policy", [None, *POLICIES])
@pytest.mark.parametrize("flips", ["horizontal", "d4"])
def test_a_gpu_gets_the_same_draw_and_no_step_waits_for_it(resident, policy, flips):
    images = random_images(50, 32, 32)
    settings = {"size": 64, "padding": 4, "flip": True, "flips": flips, "batch_size": 16}
    settings["policy"] = policy and Policy(policy, size=64)
    feed = make_feed(images.cuda() if resident else images, **settings, device="cuda")
    batches = feed.epoch(generator(0, "order"))
    first = next(batches)
    try:
        torch.cuda.set_sync_debug_mode("error")
        epoch = copies([first]) + copies(batches)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = copies(make_feed(images, **settings).epoch(generator(0, "order")))
    for (batch, labels), (expected_batch, expected_labels) in zip(epoch, expected, strict=True):
        assert torch.equal(labels.cpu(), expected_labels)
        difference = (batch.cpu() - expected_batch).abs()
        if policy:  # pixels half way between two whole numbers may go to either
            assert (difference > 1e-5).float().mean() < 0.02
            assert difference.mean() < 1e-3
        else:
            assert difference.max() <= 1e-5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"images": torch.zeros(4, 3, 8, 8)}, "images are torch.float32 .* uint8"),
        ({"images": torch.zeros(4, 8, 8, dtype=torch.uint8)}, r"images are .* shape \(4, 8, 8\)"),
        ({"images": torch.zeros(0, 3, 8, 8, dtype=torch.uint8)}, "not empty"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, r"one per image \(4\)"),
        ({"labels": torch.zeros(4)}, "labels are torch.float32"),
        ({"mean": [0.5]}, "3 numbers each"),
        ({"std": [0.5, 0.5, 0.0]}, "every std above 0"),
        ({"size": 0}, "size is 0"),
        ({"padding": -1}, "padding is -1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"resize": 7}, "resize is 7; needed: at least the size of the crop, 8"),
        ({"dtype": torch.float64}, "dtype is torch.float64"),
        ({"flips": "vertical"}, "flips is 'vertical'; choose one of horizontal, both, d4"),
        ({"policy": Policy("rand", size=9)}, "the policy is for 3 channels of 9 x 9 pixels"),
    ],
)
def test_what_does_not_fit_is_named(settings, message):
    arguments = {
        "images": torch.zeros(4, 3, 8, 8, dtype=torch.uint8),
        "labels": torch.zeros(4, dtype=torch.int64),
        "size": 8,
        "mean": MEAN,
        "std": STD,
        "batch_size": 2,
    }
    with pytest.raises(ValueError, match=message):
        Feed(**arguments | settings)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start_step": 4}, "start_step is 4; allowed: 0 to 3"),
        ({"start_step": -1}, "start_step is -1"),
        ({"indices": [0, 6]}, "from 0 to 6; allowed: 0 to 5"),
        ({"indices": [-1]}, "from -1 to -1"),
        ({"indices": [0.5]}, "indices are torch.float32"),
        ({"indices": torch.zeros(0, dtype=torch.int64)}, "1 or more"),
    ],
)
def test_an_epoch_out_of_range_is_refused_before_its_first_batch(arguments, message):
    feed = make_feed(random_images(6, 8, 8), batch_size=2)
    with pytest.raises(ValueError, match=message):
        feed.epoch(generator(0, "order"), **arguments)


def test_reading_ahead_changes_no_batch():
    images = random_images(50, 12, 12)
    settings = {"batch_size": 8, "padding": 2, "flip": True}
    ahead, plain = make_feed(images, read_ahead=True, **settings), make_feed(images, **settings)
    for start in (0, 3, 7):
        epochs = [feed.epoch(generator(1, "order"), start_step=start) for feed in (ahead, plain)]
        assert_same_bytes(*map(copies, epochs))
    assert_same_bytes(copies(ahead.in_order()), copies(plain.in_order()))
    chosen = torch.tensor([4, 4, 49, 0, 4, 7, 8, 9, 10])
    epochs = [feed.epoch(generator(2, "order"), indices=chosen) for feed in (ahead, plain)]
    assert_same_bytes(*map(copies, epochs))


def test_an_epoch_that_is_left_early_leaves_no_thread_behind():
    feed = make_feed(random_images(64, 8, 8), batch_size=8, read_ahead=True)
    before = threading.active_count()
    batches = feed.in_order()
    next(batches)
    assert threading.active_count() == before + 1
    batches.close()
    assert threading.active_count() == before


# TrivialAugment and RandAugment -------------------------------------------------------------------------------

TORCHVISION = {"trivial": v2.TrivialAugmentWide, "rand": v2.RandAugment, "autoaugment": v2.AutoAugment}
THEIR_NAMES = {
    "shear_x": "ShearX",
    "shear_y": "ShearY",
    "translate_x": "TranslateX",
    "translate_y": "TranslateY",
    "autocontrast": "AutoContrast",
}


def pictures(size):
    """Smooth images, which have what operations look at, and one of a single colour and one of low contrast."""
    coarse = torch.rand(4, 3, 9, 9, generator=generator(0, "pictures"))
    smooth = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic").clamp(0, 1)
    smooth[2], smooth[3] = 0.3, 0.4 + 0.2 * smooth[3]
    return (smooth * 255).round().to(torch.uint8)


def augmented(images, operation, strength):
    """Each of the images after this operation."""
    chosen = torch.full((1, len(images)), OPERATIONS.index(operation))
    plan = Plan(
        chosen,
        torch.full(chosen.shape, strength, dtype=torch.float64),
        size=images.shape[-1],
        batch_size=len(images),
        device="cpu",
    )
    pixels = images.float().clone()
    plan.apply(0, pixels)
    return pixels


def by_torchvision(transform, image, operation, strength):
    name = THEIR_NAMES.get(operation, operation.capitalize())
    magnitude = strength / 255 if operation == "solarize" else strength
    return transform._apply_image_or_video_transform(
        image, name, magnitude, transform.interpolation, transform._fill
    )


@pytest.mark.parametrize("size", [48, 33])
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("policy", ["trivial", "rand"])  # the operations of AutoAugment are the same
def test_each_operation_is_torchvisions_at_every_strength(policy, operation, size):
    transform = TORCHVISION[policy](interpolation=v2.InterpolationMode.BILINEAR)
    images = pictures(size)
    # Every other strength at the even size, the rest at the odd one.
    of_operation = strengths(policy, size)[OPERATIONS.index(operation)][size % 2 :: 2].tolist()
    signs = (1, -1) if operation in OPERATIONS[1:10] else (1,)
    for strength in {sign * strength for strength in of_operation for sign in signs}:
        if operation == "solarize" and strength > 255:
            continue  # strength 0, see below
        found = augmented(images, operation, strength)
        expected = [by_torchvision(transform, image, operation, strength) for image in images]
        difference = (found - torch.stack(expected)).abs()
        # A value that is a whole number but for a rounding error may be cut to the one below, and one that is half
        # way between two may go to either.
        assert difference.max() <= 1
        assert (difference > 0).float().mean() <= 0.06


@pytest.mark.parametrize("policy", POLICIES)
def test_strengths_are_those_of_torchvisions_tables(policy):
    theirs = TORCHVISION[policy]._AUGMENTATION_SPACE
    for operation, row in zip(OPERATIONS, strengths(policy, 48), strict=True):
        name = THEIR_NAMES.get(operation, operation.capitalize())
        if name == "Identity" and name not in theirs:
            assert not row.any()
            continue
        magnitudes, signed = theirs[name]
        assert signed == (operation in OPERATIONS[1:10])
        expected = magnitudes(10 if policy == "autoaugment" else 31, 48, 48)
        if (
            operation == "solarize"
        ):  # at strength 0 nothing is inverted, but for AutoAugment, which never asks for it
            expected = (255 if policy == "autoaugment" else 256) * expected
        elif operation.startswith("translate"):
            expected = (expected + 1e-4).int()  # in float32 their 16.0 is a little less
        if expected is None:
            assert not row.any()
        else:
            torch.testing.assert_close(row, expected.double(), rtol=0, atol=1e-4)
    # AutoAugment has Invert, which is a solarize, in place of Identity.
    assert len(theirs) == len(OPERATIONS)


@pytest.mark.parametrize("policy", ["trivial", "rand"])
def test_strength_0_changes_nothing(policy):
    images = random_images(5, 32, 32)
    for operation, row in zip(OPERATIONS, strengths(policy, 32), strict=True):
        if operation not in ("autocontrast", "equalize"):  # they have no strength
            assert torch.equal(augmented(images, operation, row[0].item()), images.float()), operation


def test_images_of_a_batch_get_operations_and_strengths_of_their_own():
    images = pictures(32)[:2].repeat(7, 1, 1, 1)
    chosen = torch.stack([torch.arange(14), torch.arange(14).flip(0)])
    strength = strengths("trivial", 32)[chosen, torch.arange(14) * 2]
    plan = Plan(chosen, strength, size=32, batch_size=5, device="cpu")
    for step in range(3):
        part = slice(5 * step, 5 * step + 5)
        pixels = images[part].float().to(memory_format=torch.channels_last)
        plan.apply(step, pixels)
        for image, found, turns in zip(
            images[part], pixels, zip(*chosen[:, part], *strength[:, part], strict=True), strict=True
        ):
            first, second, *strong = (value.item() for value in turns)
            once = augmented(image[None], OPERATIONS[first], strong[0])
            assert torch.equal(found, augmented(once, OPERATIONS[second], strong[1])[0])


@pytest.mark.parametrize(("policy", "turns"), [("trivial", 1), ("rand", 3)])
def test_operations_levels_and_signs_are_uniform(policy, turns):
    drawn = []

    class Kept(Plan):
        def __init__(self, operations, strength, **settings):
            drawn.append((operations, strength))

    chosen = Policy(policy, size=32, operations=3, magnitude=20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("longtail.batches.policies.Plan", Kept)
        chosen.draw(40_000, 128, generator(0, "order"), "cpu")
    ((operations, strength),) = drawn
    assert operations.shape == strength.shape == (turns, 40_000)
    shares = torch.bincount(operations.flatten(), minlength=14) / operations.numel()
    torch.testing.assert_close(shares, torch.full((14,), 1 / 14), rtol=0, atol=0.006)
    rotations = strength[operations == OPERATIONS.index("rotate")]
    assert (rotations > 0).double().mean() == pytest.approx(0.5, abs=0.04)
    if policy == "rand":
        assert set(rotations.abs().tolist()) == {20.0}
    else:
        assert sorted(set(rotations.abs().tolist())) == pytest.approx([4.5 * level for level in range(31)])
    kept = strength[operations == OPERATIONS.index("posterize")]
    assert kept.min() >= (2 if policy == "trivial" else 4)


def test_the_operations_stand_between_flip_and_normalisation():
    image = pictures(16)[:1]
    policy = Policy("rand", size=16, operations=1, magnitude=30)
    feed = make_feed(image, padding=2, flip=True, policy=policy, batch_size=64)
    plain = every_crop_by_torchvision(image[0], 16, 16, 2) * torch.tensor(STD).view(-1, 1, 1)
    plain = ((plain + torch.tensor(MEAN).view(-1, 1, 1)) * 255).round()
    candidates = []
    for operation, row in zip(OPERATIONS, strengths("rand", 16), strict=True):
        signs = (1, -1) if operation in OPERATIONS[1:10] else (1,)
        candidates += [augmented(plain, operation, sign * row[30].item()) for sign in signs]
    normalised = v2.Normalize(MEAN, STD)(torch.cat(candidates) / 255).flatten(1)
    for batch, _ in feed.epoch(generator(0, "order"), indices=[0] * 256):
        nearest = torch.cdist(batch.flatten(1), normalised, p=float("inf")).min(dim=1).values
        assert nearest.max() < 1e-5


def test_evaluation_batches_are_those_without_a_policy():
    images = random_images(10, 24, 24)
    settings = {"size": 32, "padding": 4, "batch_size": 4, "channels_last": True}
    plain = copies(make_feed(images, **settings).in_order())
    found = copies(make_feed(images, **settings, policy=Policy("trivial", size=32)).in_order())
    for (batch, _), (expected, _) in zip(found, plain, strict=True):
        torch.testing.assert_close(batch, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("policy", POLICIES)
def test_an_interrupted_epoch_goes_on_with_the_same_operations(policy):
    settings = {"size": 16, "padding": 2, "flip": True, "batch_size": 8, "policy": Policy(policy, size=16)}
    feed = make_feed(random_images(36, 8, 8), **settings)
    whole = copies(feed.epoch(generator(0, "order")))
    for start in (1, 4):
        assert_same_bytes(copies(feed.epoch(generator(0, "order"), start_step=start)), whole[start:])
    plain = copies(make_feed(feed.images, **settings | {"policy": None}).epoch(generator(0, "order")))
    assert all(torch.equal(labels, others) for (_, labels), (_, others) in zip(whole, plain, strict=True))
    with torch.autocast("cpu", torch.bfloat16):
        assert_same_bytes(copies(feed.epoch(generator(0, "order"))), whole)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "auto"}, "augment is 'auto'; choose one of trivial, rand"),
        ({"operations": 0}, "augment_operations is 0"),
        ({"magnitude": 31}, "augment_magnitude is 31; allowed: 0 to 30"),
    ],
)
def test_a_policy_that_there_is_not_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Policy(**{"name": "rand", "size": 8} | settings)


def test_autoaugment_has_the_pairs_of_torchvision():
    theirs = v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)
    for ours, pair in zip(AUTOAUGMENT, theirs._policies, strict=True):
        for (operation, level, probability), (name, chance, place) in zip(ours, pair, strict=True):
            assert probability == chance
            if name == "Invert":
                assert (operation, level) == INVERT
                assert strengths("autoaugment", 32)[OPERATIONS.index(operation), level] == 0
            else:
                assert (THEIR_NAMES.get(operation, operation.capitalize()), level) == (name, place or 0)


def test_autoaugment_draws_pairs_and_leaves_operations_out_with_their_probabilities():
    drawn = []

    class Kept(Plan):
        def __init__(self, operations, strength, **settings):
            drawn.append((operations, strength))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("longtail.batches.policies.Plan", Kept)
        Policy("autoaugment", size=32).draw(50_000, 128, generator(0, "order"), "cpu")
    ((chosen, strong),) = drawn
    # The shear of the fourth pair has a probability of 0.5, that of the sixth 0.2; each is one pair of 25.
    sheared = (chosen[0] == OPERATIONS.index("shear_y")).float().mean().item()
    assert sheared == pytest.approx((0.5 + 0.2) / 25, abs=0.003)
    strength = strong[0][chosen[0] == OPERATIONS.index("shear_y")]
    assert 0.4 < (strength < 0).float().mean() < 0.6
    assert (chosen[1] == OPERATIONS.index("posterize")).float().mean() == pytest.approx(0.3 / 25, abs=0.003)


@pytest.mark.parametrize("policy", [None, "autoaugment"])
def test_cutout_leaves_the_mean_colour_in_a_square_and_changes_nothing_else(policy):
    images = random_images(60, 12, 12)
    settings = {"size": 12, "padding": 2, "flip": True, "batch_size": 60}
    settings["policy"] = policy and Policy(policy, size=12)
    whole, holes = (
        copies(make_feed(images, **settings, cutout=side).epoch(generator(0, "order")))[0][0]
        for side in (None, 6)
    )
    hidden = (holes == 0).all(dim=1)
    assert torch.equal(torch.where(hidden[:, None], 0.0, whole), holes)
    rows, columns = hidden.any(dim=2).sum(dim=1), hidden.any(dim=1).sum(dim=1)
    assert rows.max() == columns.max() == 6 and rows.min() == columns.min() == 3, (
        "a centre may lie at the border"
    )
    if policy is None:
        assert torch.equal(hidden.sum(dim=(1, 2)), rows * columns)
