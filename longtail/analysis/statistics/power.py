"""What runs could have found, and how many seeds or images would settle what they leave open."""

import math
from bisect import bisect_left
from dataclasses import replace

from longtail.analysis.statistics.spread import Spread, limit

POWER = 0.80
DISCORDANT, CHANCE, RUNS = 0.2, 0.5, 0.01
"""Assumed before there are runs: the share of images that only one of two losses gets right, the share of those that
another training run would change, and the standard deviation of a difference over seeds."""
MOST_SEEDS, MOST_TIMES = 1000, 100
"""More seeds than this, or more than so many times the images, are no advice."""


def detectable(of: Spread) -> float:
    """The smallest difference that a test at 5 % finds with a chance of 80 %, before any correction.

    It is that of a t test (the quantiles of level and power add up), with the mixture of both parts' quantiles.
    """
    return (of.critical() + of.critical(2 * POWER - 1)) * math.sqrt(of.variance)


def seeds_needed(difference: float, of: Spread, seeds: int) -> int | None:
    """How many seeds would find this difference with a chance of 80 %, were it the true one.

    Args:
        seeds: how many there are, at least two.

    Returns:
        None where the images leave too much error for any number of seeds.
    """
    models = of.runs_df / (seeds - 1)

    def found(number: int) -> bool:
        share = seeds / number
        kept = of.images - of.chance + share * of.chance
        more = replace(of, runs=share * of.runs, runs_df=models * (number - 1), images=kept)
        return detectable(more) <= abs(difference)

    numbers = range(3, MOST_SEEDS + 1)
    place = bisect_left(numbers, True, key=found)  # what is found with some seeds is found with more
    return numbers[place] if place < len(numbers) else None


def images_needed(difference: float, of: Spread, images: int) -> int | None:
    """How many test images would find this difference with a chance of 80 %, were it the true one, with these runs.

    Returns:
        None where the runs leave too much error for any number of images, or a hundred times as many would not do.
    """

    def found(times: float) -> bool:
        return detectable(replace(of, images=of.images / times)) <= abs(difference)

    if not found(MOST_TIMES):
        return None
    return math.ceil(images * limit(lambda times: not found(times), 1.0, float(MOST_TIMES), 60))


def expected(images: int, seeds: int) -> float:
    """The smallest difference that runs of one model are expected to find, before there are any.

    It assumes `DISCORDANT`, `CHANCE` and, where there are several seeds, `RUNS`. Two seeds, which are not tested, are
    given the quantile of their one degree of freedom.
    """
    of_images = DISCORDANT * (1 - CHANCE + CHANCE / seeds) / images
    of_runs = RUNS**2 / seeds if seeds > 1 else 0.0
    return min(1.0, detectable(Spread(of_runs, seeds - 1, of_images, math.inf)))
