"""The losses that scale the logits of a cosine head."""

import pytest
import torch

from longtail.losses import build_loss

COUNTS = torch.tensor([9, 4, 1, 0])


@pytest.mark.parametrize("name", ["softmax", "balanced_softmax", "logit_adjusted"])
def test_scaled_cosines_have_the_loss_of_logits_that_are_that_large(name):
    generator = torch.Generator().manual_seed(0)
    cosines = torch.rand(6, 4, generator=generator, dtype=torch.float64) * 2 - 1
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    scaled = build_loss(name, COUNTS, s=25.0)
    assert scaled(cosines, labels).item() == pytest.approx(
        build_loss(name, COUNTS)(25 * cosines, labels).item()
    )
    assert scaled.logit_scale == 25.0
    with pytest.raises(ValueError, match="s: found 0"):
        build_loss(name, COUNTS, s=0)
