"""Class frequencies that test images may have: as in training, equal, or the other way round."""

from collections.abc import Sequence

RATIOS = (50, 25, 10, 5, 2)
"""How much more frequent the first class is than the last in the test distributions of the literature."""
DISTRIBUTIONS = (
    *(f"forward_{ratio}" for ratio in RATIOS),
    "uniform",
    *(f"backward_{ratio}" for ratio in reversed(RATIOS)),
)
"""Their names in the configuration."""


def distributions(num_classes: int) -> dict[str, list[float]]:
    """The share of each class, from the one with most training images on, in every test distribution; they sum to 1.

    Source: Hong et al., Disentangling Label Distribution for Long-tailed Visual Recognition, CVPR 2021,
    and Zhang et al., Self-Supervised Aggregation of Diverse Experts for Test-Agnostic Long-Tailed Recognition, NeurIPS
    2022, whose code draws one test set with these shares, rounded down to whole images.
    """
    last = max(num_classes - 1, 1)
    falling = {
        f"Forward {ratio}": [ratio ** (-place / last) for place in range(num_classes)] for ratio in RATIOS
    }
    rising = {f"Backward {ratio}": falling[f"Forward {ratio}"][::-1] for ratio in reversed(RATIOS)}
    every = {**falling, "Uniform": [1.0] * num_classes, **rising}
    return {name: [share / sum(shares) for share in shares] for name, shares in every.items()}


def largest_draw(name: str, train_counts: Sequence[int], test_counts: Sequence[int]) -> list[int]:
    """How many images of each class the largest test set has that follows a distribution, rounded down.

    Args:
        name: one of DISTRIBUTIONS. Classes of equally many training images keep their order.
        train_counts, test_counts: training images, and test images to draw from, of each class in label order. A class
            without test images is left out.
    """
    order = sorted(range(len(train_counts)), key=lambda label: -train_counts[label])
    falling = distributions(len(order))[name.replace("_", " ").capitalize()]
    shares = dict(zip(order, falling, strict=True))
    size = min(count / shares[label] for label, count in enumerate(test_counts) if count)
    # What a division leaves below a whole number is no image less.
    return [min(count, int(size * shares[label] + 1e-9)) for label, count in enumerate(test_counts)]
