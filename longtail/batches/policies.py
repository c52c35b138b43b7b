"""TrivialAugment, RandAugment and AutoAugment on whole batches: each image gets operations and strengths of its own.

    policy = Policy("trivial", size=224)
    plan = policy.draw(images=50_000, batch_size=128, generator=generator, device=device)
    plan.apply(step, pixels)

All choices are drawn on the CPU for a whole epoch, so every device gets the same ones, and so does an epoch that is
resumed in its middle. The CPU then also knows which images of a batch share an operation, so these can be computed
together, and no step waits for the device.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from longtail.machine.devices import moved

POLICIES = ("trivial", "rand", "autoaugment")
LEVELS = 31
AFFINE = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
BLENDS = ("brightness", "color", "contrast", "sharpness")
OPERATIONS = ("identity", *AFFINE, *BLENDS, "posterize", "solarize", "autocontrast", "equalize")
# Images of one group are computed together. All affine operations form one group, in which each image has a matrix.
GROUPS = ("identity", "affine", *OPERATIONS[1 + len(AFFINE) :])


# AutoAugment's policy for CIFAR-10: 25 pairs of an operation, its probability and its level, from 0 to 9. Inverting an
# image is solarizing it from 0 on.
INVERT = ("solarize", 9)
AUTOAUGMENT = (
    ((*INVERT, 0.1), ("contrast", 6, 0.2)),
    (("rotate", 2, 0.7), ("translate_x", 9, 0.3)),
    (("sharpness", 1, 0.8), ("sharpness", 3, 0.9)),
    (("shear_y", 8, 0.5), ("translate_y", 9, 0.7)),
    (("autocontrast", 0, 0.5), ("equalize", 0, 0.9)),
    (("shear_y", 7, 0.2), ("posterize", 7, 0.3)),
    (("color", 3, 0.4), ("brightness", 7, 0.6)),
    (("sharpness", 9, 0.3), ("brightness", 9, 0.7)),
    (("equalize", 0, 0.6), ("equalize", 0, 0.5)),
    (("contrast", 7, 0.6), ("sharpness", 5, 0.6)),
    (("color", 7, 0.7), ("translate_x", 8, 0.5)),
    (("equalize", 0, 0.3), ("autocontrast", 0, 0.4)),
    (("translate_y", 3, 0.4), ("sharpness", 6, 0.2)),
    (("brightness", 6, 0.9), ("color", 8, 0.2)),
    (("solarize", 2, 0.5), (*INVERT, 0.0)),
    (("equalize", 0, 0.2), ("autocontrast", 0, 0.6)),
    (("equalize", 0, 0.2), ("equalize", 0, 0.6)),
    (("color", 9, 0.9), ("equalize", 0, 0.6)),
    (("autocontrast", 0, 0.8), ("solarize", 8, 0.2)),
    (("brightness", 3, 0.1), ("color", 0, 0.7)),
    (("solarize", 5, 0.4), ("autocontrast", 0, 0.9)),
    (("translate_y", 9, 0.9), ("translate_y", 9, 0.7)),
    (("autocontrast", 0, 0.9), ("solarize", 3, 0.8)),
    (("equalize", 0, 0.8), (*INVERT, 0.1)),
    (("translate_y", 9, 0.7), ("autocontrast", 0, 0.9)),
)


class Policy:
    """Chooses the operations that an image gets, and how strong they are.

    `trivial` is TrivialAugment (Wide): one operation of the 14 with one of the 31 strengths, both uniform (Müller and
    Hutter, TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation, ICCV 2021, algorithm 1 and table 2).
    `rand` is RandAugment: `operations` of the 14 in turn, all of strength `magnitude` (Cubuk et al., RandAugment:
    Practical automated data augmentation with a reduced search space, NeurIPS 2020, section 3). `autoaugment` is the
    policy that was found for CIFAR-10: one of 25 pairs of operations, each of which is applied with its own probability
    (Cubuk et al., AutoAugment: Learning Augmentation Strategies from Data, CVPR 2019). Half of the strengths
    that have a sign are negative.

    The operations are those of torchvision on uint8 images, with bilinear interpolation and black outside, as in its
    reference recipes. One differs: `solarize` changes nothing at strength 0, as in the code of TrivialAugment's
    authors, while torchvision's still inverts pure white.

    Args:
        name: one of POLICIES.
        size: height and width of the images, in pixels.
        operations: how many of them `rand` applies to each image.
        magnitude: their strength under `rand`, from 0 to 30.

    Raises:
        ValueError: another name, or a number out of range.
    """

    def __init__(self, name: str, *, size: int, operations: int = 2, magnitude: int = 9) -> None:
        if name not in POLICIES:
            raise ValueError(f"augment is {name!r}; choose one of {', '.join(POLICIES)}")
        if operations < 1:
            raise ValueError(f"augment_operations is {operations}; needed: at least 1")
        if not 0 <= magnitude < LEVELS:
            raise ValueError(f"augment_magnitude is {magnitude}; allowed: 0 to {LEVELS - 1}")
        self.name, self.size = name, size
        self.operations = operations if name == "rand" else 1
        self.level = magnitude if name == "rand" else None
        self.strengths = strengths(name, size)

    def draw(
        self, images: int, batch_size: int, generator: torch.Generator, device: torch.device | str
    ) -> "Plan":
        """Operations and strengths for the images of an epoch, in the order of the images.

        Args:
            generator: on the CPU.
            device: where the images will be.
        """
        if self.name == "autoaugment":
            return self._draw_pairs(images, batch_size, generator, device)
        shape = (self.operations, images)
        chosen = torch.randint(len(OPERATIONS), shape, generator=generator)
        level = torch.randint(LEVELS, shape, generator=generator) if self.level is None else self.level
        strength = self._signed(chosen, self.strengths[chosen, level], generator)
        return Plan(chosen, strength, size=self.size, batch_size=batch_size, device=device)

    def _draw_pairs(
        self, images: int, batch_size: int, generator: torch.Generator, device: torch.device | str
    ) -> "Plan":
        pair = torch.randint(len(AUTOAUGMENT), (images,), generator=generator)
        names, levels, probabilities = (
            [[single[i] for single in both] for both in AUTOAUGMENT] for i in range(3)
        )
        chosen = torch.tensor([[OPERATIONS.index(str(name)) for name in both] for both in names])[pair].T
        strength = self.strengths[chosen, torch.tensor(levels)[pair].T]
        applied = torch.rand(chosen.shape, generator=generator) < torch.tensor(probabilities)[pair].T
        strength = self._signed(chosen, strength, generator)
        return Plan(chosen.where(applied, 0), strength, size=self.size, batch_size=batch_size, device=device)

    @staticmethod
    def _signed(chosen: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
        sign = torch.randint(2, chosen.shape, generator=generator) * 2 - 1
        signed = (chosen > 0) & (chosen <= len(AFFINE) + len(BLENDS))
        return strength * sign.where(signed, 1)


class Plan:
    """Drawn operations, sorted by batch and, within a batch, by kind.

    Args:
        operations: indices into `OPERATIONS`, int64, turns x images; an image gets one operation in each turn.
        strength: signed, in the units of `strengths`, float64, turns x images.
        size, batch_size, device: as `Policy` and `Policy.draw` take them.
    """

    def __init__(
        self,
        operations: Tensor,
        strength: Tensor,
        *,
        size: int,
        batch_size: int,
        device: torch.device | str,
    ) -> None:
        self.batch_size = batch_size
        self._turns = [
            _sorted_turn(chosen, each, size, batch_size, torch.device(device))
            for chosen, each in zip(operations, strength, strict=True)
        ]

    @torch.no_grad()
    def apply(self, step: int, pixels: Tensor) -> None:
        """Change the images of a batch in place.

        Args:
            pixels: float32, B x 3 x size x size, whole numbers from 0 to 255, before and after.
        """
        with torch.autocast(pixels.device.type, enabled=False):
            for counts, positions, parameters in self._turns:
                start = step * self.batch_size
                for group, count in zip(GROUPS, counts[step], strict=True):
                    part = slice(start, start + count)
                    start += count
                    if count and group != "identity":
                        where = positions[part]
                        changed = _FUNCTIONS[group](pixels.index_select(0, where), parameters[part])
                        pixels.index_copy_(0, where, changed)


def strengths(name: str, size: int) -> Tensor:
    """The strengths of a policy, by operation and level: float64, 14 x 31, or 14 x 10 for `autoaugment`.

    The units: shears, pixels per pixel; translations, whole pixels; rotation, degrees; brightness, color, contrast and
    sharpness, the factor of the blend minus 1; posterize, the number of bits that are kept; solarize, the threshold
    from which on pixels are inverted.
    """
    wide, levels = name == "trivial", 10 if name == "autoaugment" else LEVELS
    far, shear, angle, blend, bits = (
        (32.0, 0.99, 135.0, 0.99, 6) if wide else (150 / 331 * size, 0.3, 30.0, 0.9, 4)
    )
    most = {
        **dict.fromkeys(("shear_x", "shear_y"), shear),
        **dict.fromkeys(("translate_x", "translate_y"), far),
        "rotate": angle,
        **dict.fromkeys(BLENDS, blend),
    }
    table = torch.zeros(len(OPERATIONS), levels, dtype=torch.float64)
    for row, operation in zip(table, OPERATIONS, strict=True):
        if operation in most:
            row.copy_(torch.arange(levels, dtype=torch.float64) * most[operation] / (levels - 1))
        if operation.startswith("translate"):
            row.trunc_()
        elif operation == "posterize":
            row.copy_((8 - torch.arange(levels) / ((levels - 1) / bits)).round())
        elif operation == "solarize":
            # For AutoAugment as torchvision has it, which for the others differs at the strength 0.
            first = 255.0 if name == "autoaugment" else 256.0
            row.copy_(torch.linspace(first, 0.0, levels, dtype=torch.float64))
    return table


def _sorted_turn(
    operations: Tensor, strength: Tensor, size: int, batch_size: int, device: torch.device
) -> tuple[list[list[int]], Tensor, Tensor]:
    """How many images of each batch are in each group, their positions in the batch, and their parameters.

    The parameters are the six numbers of the affine map and the strength, for a blend its factor: float32, images x 7.
    """
    # Group 0 is the identity, 1 all affine operations; the others follow.
    rest = operations - (len(AFFINE) - 1)
    groups = torch.where(operations <= len(AFFINE), operations.clamp(max=1), rest)
    steps = torch.arange(len(groups)) // batch_size
    key = steps * len(GROUPS) + groups
    order = key.argsort(stable=True)
    counts = torch.bincount(key, minlength=(int(steps[-1]) + 1) * len(GROUPS)).view(-1, len(GROUPS))
    matrices = _matrices(operations, strength, size).flatten(1)
    blended = (operations > len(AFFINE)) & (operations <= len(AFFINE) + len(BLENDS))
    # The sum is made in float64, because a rounding error would move whole numbers across the floor below.
    strength = strength + blended
    parameters = torch.cat([matrices, strength[:, None]], dim=1)[order].float()
    return counts.tolist(), moved(order % batch_size, device), moved(parameters, device)


def _matrices(operations: Tensor, strength: Tensor, size: int) -> Tensor:
    """Affine maps from a pixel of the result to the pixel it shows, in coordinates from -1 to 1: images x 2 x 3.

    Shears keep the upper left corner in place, as in the papers' code and in torchvision. Rotations turn
    counter-clockwise around the centre.
    """
    of = {name: (operations == OPERATIONS.index(name)).double() * strength for name in AFFINE}
    turn = torch.deg2rad(of["rotate"])
    matrix = torch.zeros(len(operations), 2, 3, dtype=torch.float64)
    matrix[:, 0, 0] = matrix[:, 1, 1] = turn.cos()
    matrix[:, 0, 1] = of["shear_x"] - turn.sin()
    matrix[:, 1, 0] = of["shear_y"] + turn.sin()
    matrix[:, 0, 2] = of["shear_x"] - of["translate_x"] * 2 / size
    matrix[:, 1, 2] = of["shear_y"] - of["translate_y"] * 2 / size
    return matrix


# The operations. Each takes pixels as `Plan.apply` does, and parameters, and returns pixels -----------------------


def _affine(pixels: Tensor, parameters: Tensor) -> Tensor:
    grid = F.affine_grid(parameters[:, :6].view(-1, 2, 3), list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="zeros", align_corners=False).round()


def _brightness(pixels: Tensor, parameters: Tensor) -> Tensor:
    return (pixels * _strength(parameters)).clamp(0, 255).floor()


def _color(pixels: Tensor, parameters: Tensor) -> Tensor:
    return _blend(pixels, _grey(pixels), parameters)


def _contrast(pixels: Tensor, parameters: Tensor) -> Tensor:
    return _blend(pixels, _grey(pixels).mean(dim=(1, 2, 3), keepdim=True), parameters)


def _sharpness(pixels: Tensor, parameters: Tensor) -> Tensor:
    if min(pixels.shape[-2:]) <= 2:
        return pixels
    inner = pixels[:, :, 1:-1, 1:-1]
    # The kernel is 5/13 in the middle and 1/13 everywhere else.
    smooth = (F.avg_pool2d(pixels, 3, stride=1, divisor_override=13) + inner * (4 / 13)).round()
    result = pixels.clone()
    inner = inner + (smooth - inner) * (1 - _strength(parameters))
    result[:, :, 1:-1, 1:-1] = inner.clamp(0, 255).floor()
    return result


def _posterize(pixels: Tensor, parameters: Tensor) -> Tensor:
    step = torch.exp2(8 - _strength(parameters))
    return (pixels / step).floor() * step


def _solarize(pixels: Tensor, parameters: Tensor) -> Tensor:
    return torch.where(pixels >= _strength(parameters), 255 - pixels, pixels)


def _autocontrast(pixels: Tensor, parameters: Tensor) -> Tensor:
    lowest, highest = pixels.amin(dim=(2, 3), keepdim=True), pixels.amax(dim=(2, 3), keepdim=True)
    flat = lowest == highest
    scale = torch.where(flat, 1.0, (highest - lowest) * (1 / 255))
    return ((pixels - torch.where(flat, 0.0, lowest)) / scale).clamp(0, 255).floor()


def _equalize(pixels: Tensor, parameters: Tensor) -> Tensor:
    """Spread each channel's values, as Pillow does, so that about equally many pixels have each value."""
    flat = pixels.flatten(2)
    # Sorting counts without atomic additions, which are not deterministic on GPUs.
    ranked = flat.sort(dim=2).values
    values = torch.arange(256.0, device=pixels.device).expand(*flat.shape[:2], 256).contiguous()
    below = torch.searchsorted(ranked, values)  # pixels darker than each value
    step = torch.searchsorted(ranked, ranked[..., -1:].contiguous()) // 255
    table = ((below + step // 2) // step.clamp(min=1)).clamp(max=255)
    spread = table.gather(2, flat.long())
    return torch.where(step > 0, spread.float(), flat).view(pixels.shape)


def _strength(parameters: Tensor) -> Tensor:
    return parameters[:, 6].view(-1, 1, 1, 1)


def _grey(pixels: Tensor) -> Tensor:
    red, green, blue = pixels.split(1, dim=1)
    return (red * 0.2989 + green * 0.587 + blue * 0.114).floor()


def _blend(pixels: Tensor, other: Tensor, parameters: Tensor) -> Tensor:
    factor = _strength(parameters)
    return (pixels * factor + other * (1 - factor)).clamp(0, 255).floor()


_FUNCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "affine": _affine,
    "brightness": _brightness,
    "color": _color,
    "contrast": _contrast,
    "sharpness": _sharpness,
    "posterize": _posterize,
    "solarize": _solarize,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
}
