"""Colours that change from one view of an image to the next, as in contrastive learning."""

import torch

from longtail.batches.policies import OPERATIONS, Plan, Policy

STRENGTH, CHANGED, GREY = 0.4, 0.8, 0.2


class Jitter(Policy):
    """Brightness, contrast and saturation change in random order, each by a factor from 0.6 to 1.4, in four images of
    five; then one image of five becomes grey.

    Source: Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020, with the
    strengths and shares of the code of Zhang et al., NeurIPS 2022 (SADE). That code also turns the hue by up to a tenth
    and blurs one image of five.

    Args:
        size: height and width of the images, in pixels.
    """

    def __init__(self, *, size: int) -> None:
        self.size = size

    def draw(
        self, images: int, batch_size: int, generator: torch.Generator, device: torch.device | str
    ) -> Plan:
        turns = torch.tensor([OPERATIONS.index(name) for name in ("brightness", "contrast", "color")])
        order = torch.rand(3, images, generator=generator).argsort(dim=0, stable=True)
        strength = STRENGTH * (2 * torch.rand(3, images, generator=generator, dtype=torch.float64) - 1)
        changed = torch.rand(images, generator=generator) < CHANGED
        grey = torch.rand(images, generator=generator) < GREY
        saturation = torch.full((1, images), OPERATIONS.index("color"))
        operations = torch.cat([turns[order].where(changed, 0), saturation.where(grey, 0)])
        # The factor of a blend is 1 more than its strength, and a saturation of 0 is grey.
        strength = torch.cat([strength.where(changed, 0), -grey[None].double()])
        return Plan(operations, strength, size=self.size, batch_size=batch_size, device=device)
