"""The card of a model file, for tests that need one and look at a part of it."""

from typing import Any

from longtail.models.card import ModelCard


def card(**facts: Any) -> ModelCard:
    """A whole card of a small model of two classes, with these facts instead of its own."""
    return ModelCard(
        **{
            "architecture": "resnet8",
            "head": "linear",
            "class_names": ["ape", "bee"],
            "class_counts": [5, 2],
            "image_size": 8,
            "mean": [0.4, 0.5, 0.6],
            "std": [0.2, 0.3, 0.4],
            "logit_scale": 1.0,
            "loss": "softmax",
            "loss_parameters": {},
            "recipe": {"precision": "fp32", "deterministic": True, "eval_batch_size": 4},
            "seed": 1,
            "best_epoch": 1,
            **facts,
        }
    )
