"""Learning-rate schedules, without PyTorch."""

import math


def learning_rate_factor(
    epoch: int,
    *,
    schedule: str,
    epochs: int,
    step_size: int,
    milestones: tuple[int, ...],
    gamma: float,
    warmup_epochs: int,
) -> float:
    """The factor of the learning rate in an epoch, counted from 0.

    It is a function of the epoch alone, so a resumed run needs no state of a scheduler. During the warm-up, epoch e
    (from 0) gets (e + 1) / warmup_epochs. `step` and `multistep` are PyTorch's StepLR and MultiStepLR; `cosine`
    is half a cosine from 1 to 0 over the epochs after the warm-up (Loshchilov and Hutter, 2017).

    Raises:
        ValueError: an unknown schedule.
    """
    if epoch < warmup_epochs:
        return (epoch + 1) / warmup_epochs
    match schedule:
        case "constant":
            return 1.0
        case "step":
            return float(gamma ** (epoch // step_size))
        case "multistep":
            return float(gamma ** sum(epoch >= milestone for milestone in milestones))
        case "cosine":
            return (1 + math.cos(math.pi * (epoch - warmup_epochs) / (epochs - warmup_epochs))) / 2
    raise ValueError(f"schedule '{schedule}' is not known; allowed: step, multistep, cosine, constant")
