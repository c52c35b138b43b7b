"""Score intervals of a share and of a difference of paired shares, on as many images as the data are worth."""

import math

from longtail.analysis.statistics.spread import limit


def wilson(share: float, n: float, critical: float) -> tuple[float, float]:
    """Wilson's interval of a share (Wilson, 1927, JASA 22, 209-212).

    Args:
        share: from 0 to 1.
        n: how many independent images the share is worth.
        critical: 1.96 for 95 % where it rests on images alone; more where few runs or groups tell the error.
    """
    square = critical**2
    middle = (share + square / (2 * n)) / (1 + square / n)
    reach = critical / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n**2))
    return (max(0.0, middle - reach) if share > 0 else 0.0), (min(1.0, middle + reach) if share < 1 else 1.0)


def tango(better: float, worse: float, n: float, critical: float) -> tuple[float, float]:
    """Tango's interval of the difference of two paired shares (Tango, 1998, Statistics in Medicine 17, 891-908).

    It holds the differences that the score test does not reject, so it has a width where no image is discordant, it
    stays within -1 and 1, and it leaves out 0 exactly where McNemar's z is beyond `critical`.

    Args:
        better: the share of images that only the first of two gets right.
        worse: that of those which only the second gets right.
        n, critical: as for `wilson`.
    """
    found = better - worse
    low = limit(lambda value: tango_z(better, worse, n, value) > critical, -1.0, found)
    high = limit(lambda value: tango_z(better, worse, n, value) < -critical, 1.0, found)
    return low, high


def tango_z(better: float, worse: float, n: float, difference: float) -> float:
    """Tango's statistic for a hypothetical difference of two paired shares; at 0 it is McNemar's z.

    The error is that of the shares which are most likely if the difference holds (equation 12 of the paper).
    """
    found = better - worse
    if found == difference:
        return 0.0
    b = -better - worse + (2 - found) * difference
    share = (math.sqrt(max(0.0, b * b + 8 * worse * difference * (1 - difference))) - b) / 4
    variance = (2 * share + difference * (1 - difference)) / n
    if variance > 0:
        return (found - difference) / math.sqrt(variance)
    return math.copysign(math.inf, found - difference)
