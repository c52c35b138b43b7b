"""What every model is: a backbone that makes features of images, and a head that makes logits of features."""

from torch import Tensor, nn


class ImageClassifier(nn.Module):
    """Logits of images, by the same two names for every architecture.

    `backbone` maps images (N, 3, H, W) to features (N, F), `head` features to logits (N, C). All that an
    architecture has before its last linear layer, dropout and norms included, is in the backbone. Methods that
    retrain, rescale or replace the classifier work on `head` alone.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images))
