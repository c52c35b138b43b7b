"""What every model is: a backbone that makes features of images, and a head that makes logits of features."""

import torch
from torch import Tensor, nn


class ImageClassifier(nn.Module):
    """Logits of images, by the same two names for every architecture.

    `backbone` maps images (N, 3, H, W) to features (N, F), `head` features to logits (N, C). All that an
    architecture has before its last linear layer, dropout and norms included, is in the backbone. Methods that
    retrain, rescale or replace the classifier work on `head` alone.

    Under autocast the backbone computes in half precision, the head in the precision of its weights: bfloat16 has eight
    bits, so that logits between 8 and 16 are multiples of 1/16, the best two are often equal, and of equal ones the
    first class would win, which in long-tailed sets is the larger one.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        features = self.backbone(images)
        kind = features.device.type
        # Some devices, such as `meta`, have no autocast and raise when asked.
        if not (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):
            return self.head(features)
        with torch.autocast(kind, enabled=False):
            return self.head(features.float())
