"""All that the installed package does without the repository, as its user writes it; test_wheel.py runs it."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from sklearn.datasets import load_digits

import longtail
from longtail.analysis.evaluation import evaluate
from longtail.analysis.statistics.mcnemar import mcnemar
from longtail.analysis.statistics.paired import paired_difference
from longtail.batches.feed import Feed
from longtail.batches.sampling import SAMPLERS, sample
from longtail.losses import build_loss, known_losses
from longtail.models import build_model
from longtail.models.card import ModelCard
from longtail.models.file import load_model, save_model

MEAN, STD, SIZE = [0.3] * 3, [0.4] * 3, 16


def run(*words: str) -> str:
    """What a command that ends well prints."""
    return subprocess.run(["longtail", *words], capture_output=True, text=True, check=True).stdout


def refused(*words: str) -> str:
    """What a command that ends with an error says."""
    done = subprocess.run(["longtail", *words], capture_output=True, text=True)
    assert done.returncode == 1, (words, done)
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr


assert "site-packages" in longtail.__file__
assert not Path("Snakefile").exists()

# Losses and samplers, on their own.
counts = torch.tensor([60 - 6 * label for label in range(10)])
generator = torch.Generator().manual_seed(0)
for name in known_losses():
    loss = build_loss(name, class_counts=counts)
    assert len(loss.per_sample(torch.randn(8, 10), torch.arange(8))) == 8, name
labels = torch.repeat_interleave(torch.arange(10), counts)
for name in SAMPLERS:
    drawn = sample(name, labels, counts, epoch=0, epochs=2, generator=generator)
    assert drawn is None or len(drawn) == len(labels)

# A training loop with the feed, twice, with two losses.
bunch = load_digits()
grey = torch.tensor(bunch.images / 16 * 255).round().to(torch.uint8)
images, classes = grey[:, None].expand(-1, 3, -1, -1).contiguous(), torch.tensor(bunch.target)
rows = [torch.nonzero(classes == label).flatten() for label in range(10)]
train = torch.cat([own[:count] for own, count in zip(rows, counts, strict=True)])
test = torch.cat([own[100:130] for own in rows])


def trained(name: str) -> tuple[torch.nn.Module, torch.Tensor]:
    """A small model after four epochs, and its logits for the test images."""
    torch.manual_seed(0)
    model, loss = (
        build_model("resnet8", num_classes=10, image_size=SIZE),
        build_loss(name, class_counts=counts),
    )
    settings = {"size": SIZE, "mean": MEAN, "std": STD, "batch_size": 32}
    feed = Feed(images[train], classes[train], padding=2, **settings)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(4):
        for batch, target in feed.epoch(generator=torch.Generator().manual_seed(epoch)):
            optimizer.zero_grad()
            loss(model(batch), target).backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        batches = Feed(images[test], classes[test], **settings).in_order()
        return model, torch.cat([model(batch) for batch, *_ in batches])


(model, logits), (_, others) = trained("softmax"), trained("balanced_softmax")

# The evaluation and the statistics of predictions.
groups = np.array(["head"] * 3 + ["middle"] * 4 + ["tail"] * 3)
photographs = pd.DataFrame(
    {
        "image_id": range(len(test)),
        "label": classes[test].numpy(),
        "group": groups[classes[test]],
        "longtailed": True,
    }
)
softmax = build_loss("softmax", class_counts=counts)
found = evaluate(photographs, logits.numpy(), softmax).set_index(["test_set", "metric"])["value"]
right, right_others = ((each.argmax(1) == classes[test]).numpy() for each in (logits, others))
assert found["balanced", "acc1"] == right.mean() > 0.5
assert 0 <= mcnemar(right, right_others).p <= 1
assert (
    abs(
        paired_difference([right.astype(int)[None] - right_others]).difference
        - (right.mean() - right_others.mean())
    )
    < 1e-9
)

# The file of the model, and the commands that take it.
card = ModelCard(
    architecture="resnet8",
    head="linear",
    class_names=[f"digit {label}" for label in range(10)],
    class_counts=counts.tolist(),
    image_size=SIZE,
    mean=MEAN,
    std=STD,
    logit_scale=1.0,
    loss="softmax",
    loss_parameters={},
    recipe={"precision": "fp32", "deterministic": True, "eval_batch_size": 4},
    seed=1,
    best_epoch=4,
)
save_model("model.safetensors", model.state_dict(), card)
again, _ = load_model("model.safetensors")
assert all(
    torch.equal(a, b) for a, b in zip(again.state_dict().values(), model.state_dict().values(), strict=True)
)
for position in range(0, 60, 2):
    folder = Path("photographs", card.class_names[int(classes[position])])
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(bunch.images[position].astype(np.uint8) * 15).resize((32, 32)).save(
        folder / f"{position}.png"
    )
predicted = list(
    csv.DictReader(run("predict", "model.safetensors", "photographs", "--threads", "1").splitlines())
)
assert len(predicted) == 30
assert {row["class_1"] for row in predicted} <= {*card.class_names}
run("evaluate", "model.safetensors", "photographs", "--threads", "1", "--output", "how-good")
assert any(Path("how-good").iterdir())
run("export", "model.safetensors", "--card", "model.md")
assert "resnet8" in Path("model.md").read_text()
run("init", "photographs")
assert "photographs" in Path("config/photographs.yaml").read_text()
assert "longtail clean" in run("clean", "--help")
assert "there is nothing to delete" in run("clean", "--configfile", "config/photographs.yaml")

# What needs more says what.
assert "ONNX needs onnx and onnxscript and onnxruntime: pip install onnx" in refused(
    "export", "model.safetensors", "--onnx", "model.onnx"
)
for name in ("plan", "check", "demo"):
    told = refused(name)
    assert f"`longtail {name}` needs Snakemake" in told and "pip install snakemake" in told, told
    assert f"usage: longtail {name}" in run(name, "--help")
assert "--config needs Snakemake" in refused("clean", "--config", "seeds=[1]")
assert "index.html does not exist" in refused("report")
assert "Traceback" not in refused("cite", "nowhere")
assert "Traceback" not in refused("watch", "--once", "nowhere")
print(run("--help"))
print("longtail", longtail.__version__, "does without the repository what it says")
sys.exit(0)
