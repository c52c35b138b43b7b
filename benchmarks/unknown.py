"""How well pictures of unknown classes are told from known ones: digits of which a model has never seen three.

    PYTHONPATH=. python benchmarks/unknown.py [softmax+la]

Three models are trained by the recipe of config/demo.yaml, each without three of the ten digits and with a long tail
over the seven others. The table, in Markdown, has for three scores the area under the ROC curve and the false positive
rate at 95 % true positives (known is positive), then what the threshold in the model's card does. With `softmax+la` it
does so for softmax, and again after its logits were adjusted. Each table took about 15 s of
CPU time; docs/use-a-model.md shows what it printed.
"""

import sys
import tempfile
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.metrics import roc_auc_score, roc_curve

from longtail.config.load import load_files
from longtail.data.sources.digits import load_images
from longtail.data.split.sets import longtailed_counts
from longtail.data.tensors.files import LabelledImages
from longtail.files.text import markdown_table
from longtail.inference.logits import logits_of, probabilities
from longtail.inference.temperature import calibrated
from longtail.inference.unknown import known_scores
from longtail.models.variants import adjust
from longtail.training.checkpoint import StateFolder
from longtail.training.outputs import model_card
from longtail.training.run import Trainer
from longtail.training.settings import RunSettings

CPU = torch.device("cpu")
HELD_OUT = ((0, 1, 2), (3, 4, 5), (6, 7, 8))
VAL, TEST, LARGEST, FACTOR = 30, 30, 110, 0.1
"""Images of each known class to validate and to test with, training images of the largest, and the imbalance."""


class Told(NamedTuple):
    """One model: its scores, by name, for known and for unknown pictures, and what its threshold rejects of both."""

    scores: dict[str, tuple[np.ndarray, np.ndarray]]
    rejected: tuple[float, float]


def parts(held_out: tuple[int, ...]) -> tuple[LabelledImages, LabelledImages, torch.Tensor, torch.Tensor]:
    """Training and validation set of the known digits, images of them to test with, and all of the unknown ones."""
    data = load_images()
    known = [label for label in range(10) if label not in held_out]
    # The digits stand in the order of their writers, and each part is to have all of these.
    order = torch.randperm(len(data.labels), generator=torch.Generator().manual_seed(0))
    rows = [order[data.labels[order] == label] for label in known]
    counts = longtailed_counts(LARGEST, len(known), FACTOR)
    chosen = {
        "val": [own[:VAL] for own in rows],
        "test": [own[VAL : VAL + TEST] for own in rows],
        "train": [own[VAL + TEST :][:count] for own, count in zip(rows, counts, strict=True)],
    }
    sets = {}
    for name, own in chosen.items():
        labels = torch.arange(len(known)).repeat_interleave(torch.tensor(list(map(len, own))))
        ids = torch.cat(own)
        sets[name] = LabelledImages(data.images[ids], labels, ids, [str(label) for label in known])
    unknown = data.images[torch.isin(data.labels, torch.tensor(held_out))]
    return sets["train"], sets["val"], sets["test"].images, unknown


def told(held_out: tuple[int, ...], settings: dict[str, Any], adjusted: bool = False) -> Told:
    train_set, val_set, *pictures = parts(held_out)
    with tempfile.TemporaryDirectory() as folder:
        run = RunSettings.from_settings(settings, seed=1)
        trainer = Trainer(run, train_set, val_set, device=CPU, states=StateFolder(folder))
        progress = trainer.train()
    trainer.model.load_state_dict(progress.best_weights)
    card = model_card(trainer, train_set.class_names)
    if adjusted:
        adjust("la", trainer.model.head, torch.tensor(card.class_counts), tau=1.0)
    card = calibrated(card, trainer.model, val_set.images, val_set.labels, CPU)
    logits = [logits_of(trainer.model, images, card, CPU) for images in pictures]
    scores = {
        "energy": tuple(known_scores(own, card) for own in logits),
        "largest logit": tuple(own.amax(dim=1).double().numpy() for own in logits),
        "largest probability": tuple(probabilities(own, card).amax(dim=1).double().numpy() for own in logits),
    }
    known, unknown = (float(np.mean(own < card.known_from)) for own in scores["energy"])
    return Told(scores, (known, unknown))


def main() -> None:
    torch.set_num_threads(1)
    if sys.argv[1:] == ["softmax+la"]:
        show("softmax")
        show("softmax", adjusted=True)
    else:
        show("balanced_softmax")


def show(loss: str, adjusted: bool = False) -> None:
    print(f"\n{loss}{' with its logits adjusted' if adjusted else ''}\n")
    config = load_files(["config/demo.yaml"], {})
    settings = {
        "architecture": "resnet8",
        "head": "linear",
        "loss": loss,
        "loss_parameters": {},
        "recipe": config.recipe("resnet8", "balanced_softmax").settings(),
    }
    models = [told(held_out, settings, adjusted) for held_out in HELD_OUT]
    rows = []
    for name in models[0].scores:
        areas, rates = [], []
        for model in models:
            known, unknown = model.scores[name]
            truth, score = np.repeat([1, 0], [len(known), len(unknown)]), np.concatenate([known, unknown])
            false, true, _ = roc_curve(truth, score, drop_intermediate=False)
            areas.append(roc_auc_score(truth, score))
            rates.append(false[np.argmax(true >= 0.95)])
        rows.append([name, *(f"{area:.3f}" for area in [*areas, fmean(areas)]), f"{fmean(rates):.1%}"])
    heads = [f"AUROC without {', '.join(map(str, digits))}" for digits in HELD_OUT]
    heads = ["Score", *heads, "mean", "false positives at 95 %"]
    print("\n".join(markdown_table(heads, rows)))
    for place, what in enumerate(("known", "unknown")):
        shares = ", ".join(f"{model.rejected[place]:.1%}" for model in models)
        print(f"called unknown of the {what} pictures: {shares}")


if __name__ == "__main__":
    main()
