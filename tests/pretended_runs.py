"""Small runs on the CPU and on a pretended GPU, one for each way of training, and the table that compares them.

`PYTHONPATH=. python tests/pretended_runs.py` prints the table, in Markdown.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pretended_cuda import CPU, CUDA, Event, Watch, pretended_cuda
from small_runs import StopAfter

from longtail.data.tensors.files import LabelledImages, save_tensors
from longtail.data.tensors.loading import load_sets
from longtail.inference.logits import predict
from longtail.losses.declarations import declaration
from longtail.models.file import load_model, save_model
from longtail.training.checkpoint import StateFolder
from longtail.training.outputs import model_card
from longtail.training.progress import Tally
from longtail.training.run import Stopped, Trainer
from longtail.training.settings import RunSettings

COUNTS = (7, 4, 2, 2, 1)
"""Training images of each class."""
RECIPE = {
    "epochs": 1,
    "batch_size": 8,
    "image_size": 8,
    "padding": 1,
    "learning_rate": 0.003,
    "eval_batch_size": 16,
    "precision": "fp32",
}
TWO_EPOCHS = {"epochs": 2}
"""For what the second epoch does otherwise than the first."""


@dataclass(frozen=True)
class Setting:
    """One way of training: what differs from the others, and whether the run is interrupted.

    Attributes:
        recipe: what differs from RECIPE.
        run: what differs in `RunSettings`.
        place: as `load_sets` takes it.
        shard_bytes: as `save_tensors` takes it.
        stop_after: steps after each of which the run is stopped, on the pretended GPU alone; None: it is not.
        predicts: whether the model file predicts, too: once for each kind of model, precision and place of images.
    """

    recipe: Mapping[str, Any] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)
    place: str = "device"
    shard_bytes: int = 2**31
    stop_after: int | None = None
    predicts: bool = False

    def settings(self) -> dict[str, Any]:
        chosen = {
            "architecture": "resnet8",
            "loss": "softmax",
            "loss_parameters": {},
            "head": None,
            **self.run,
        }
        head = chosen["head"] or declaration(chosen["loss"]).default_head
        return {**chosen, "head": head, "recipe": {**RECIPE, **self.recipe}}


RARE = {"lam": 0.2, "gamma": 0.5}
"""Parameters of the equalization loss for which some of the few classes are rare."""
MANY = Setting(
    {
        **TWO_EPOCHS,
        "augment": "rand",
        "flips": "d4",
        "mixup": {"remix": {}},
        "sampler": "progressive",
        "drw": {"start": 0.5},
        "ema": 0.9,
        "micro_batch": 4,
        "optimizer": "adamw",
        "image_size": 12,
    },
    {"loss": "equalization", "loss_parameters": RARE},
    place="file",
)
"""Many of the ways at once."""
SETTINGS = {
    "softmax": Setting(TWO_EPOCHS, predicts=True),
    "balanced softmax, classes equally often": Setting(
        {"sampler": "class_balanced"}, {"loss": "balanced_softmax"}
    ),
    "class-balanced, square-root sampler": Setting({"sampler": "square_root"}, {"loss": "class_balanced"}),
    "weighted softmax, progressive sampler": Setting(
        {**TWO_EPOCHS, "sampler": "progressive"}, {"loss": "weighted_softmax"}
    ),
    "equalization, RandAugment": Setting(
        {"augment": "rand"}, {"loss": "equalization", "loss_parameters": RARE}
    ),
    "focal, mixup": Setting({"mixup": {}}, {"loss": "focal"}),
    "focal with a sigmoid, quarter turns": Setting({"flips": "d4"}, {"loss": "sigmoid_focal"}),
    "class-balanced focal, average of the weights (EMA)": Setting({"ema": 0.9}, {"loss": "cb_focal"}),
    "temperatures of classes, norms tuned by SGD, last epoch kept": Setting(
        {"tune": "norm", "optimizer": "sgd", "select": "last"}, {"loss": "cdt"}
    ),
    "vector scaling, images left in several files": Setting(
        run={"loss": "vs"}, place="file", shard_bytes=2000, predicts=True
    ),
    "regulariser of a batch, images left in a file": Setting(run={"loss": "lade"}, place="file"),
    "features, sharpness-aware (SAM)": Setting(
        {**TWO_EPOCHS, "sam": {}}, run={"loss": "influence_balanced", "loss_parameters": {"alpha": 1.0}}
    ),
    "RIDE, three narrow experts": Setting(
        TWO_EPOCHS, {"loss": "ride", "experts": 3, "narrow_experts": True}, predicts=True
    ),
    "SADE, three experts": Setting(run={"loss": "sade", "experts": 3}, predicts=True),
    "noise in the logits, TrivialAugment, images resized": Setting(
        {"augment": "trivial", "image_size": 12, "padding": 2}, {"loss": "gcl"}
    ),
    "logit-adjusted, Remix": Setting({"mixup": {"remix": {}}}, {"loss": "logit_adjusted"}),
    "LDAM, re-weighted late (DRW)": Setting({**TWO_EPOCHS, "drw": {"start": 0.5}}, {"loss": "ldam"}),
    "three views, weights of the loss, clipped gradients": Setting(
        {**TWO_EPOCHS, "clip": 1.0}, {"loss": "bcl"}, stop_after=3
    ),
    "two views that are mixed, images left in a file": Setting(TWO_EPOCHS, {"loss": "glmc"}, place="file"),
    "second stage: cRT": Setting({"sampler": "class_balanced"}, {"retrain": "new"}),
    "second stage: LWS, label-aware smoothing": Setting(
        {"sampler": "class_balanced"},
        {"retrain": "scale", "loss": "label_aware_smoothing"},
        predicts=True,
    ),
    "cosine head on class means": Setting(
        run={"head": "cosine", "head_init": "class_means", "loss_parameters": {"s": 25.0}}, predicts=True
    ),
    "CutMix, AutoAugment with Cutout, clipped gradients": Setting(
        {"mixup": {"kind": "cutmix"}, "augment": "autoaugment", "cutout": 4, "clip": 0.1}
    ),
    "manifold mixup, Nesterov": Setting(
        {"mixup": {"kind": "manifold"}, "optimizer": "sgd", "nesterov": True}
    ),
    "second stage: weight balancing": Setting(
        {"max_norm": {}, "weight_decay": 0.1}, {"retrain": "keep", "loss": "class_balanced_binary"}
    ),
    "second stage: MiSLAS": Setting(
        {"sampler": "class_balanced", "optimizer": "sgd"},
        {
            **{"retrain": "keep_and_scale", "classifier_rate": 0.2, "shift_norms": True},
            "loss": "label_aware_smoothing",
        },
    ),
    "distillation, manifold mixup": Setting(
        {"mixup": {"kind": "manifold"}}, {"distill": {"temperature": 1.5, "weight": 1.0}}
    ),
    "LoRA on a transformer": Setting(
        {"tune": "lora", "image_size": 32}, {"architecture": "timm/test_vit"}, predicts=True
    ),
    "bf16": Setting({"precision": "bf16"}, predicts=True),
    "fp16, scaled gradients": Setting({**TWO_EPOCHS, "precision": "fp16"}, predicts=True),
    "micro-batches, stopped and resumed": Setting({**TWO_EPOCHS, "micro_batch": 4}, stop_after=3),
    "many of these at once, stopped and resumed": replace(MANY, stop_after=3, predicts=True),
}


class Outcome(NamedTuple):
    """What a run gives: whatever of it has to be the same on every device.

    Attributes:
        model: bytes of the model file.
        history: a row for each epoch.
        logits: of the validation images, by the model file, where the setting predicts.
    """

    model: bytes
    history: list[dict[str, float]]
    logits: list[list[float]] | None


class Seen(NamedTuple):
    """What the host waited for, on the pretended GPU.

    Attributes:
        in_steps: between the beginning of the first step of an epoch and the end of the last one.
        in_epochs: in each whole epoch: its steps, its validation and the saving of its state.
        stops: where the run was stopped and resumed.
    """

    in_steps: list[Event]
    in_epochs: list[list[Event]]
    stops: list[str]

    def most(self) -> Counter[str]:
        """The most events of a kind in an epoch. Copies of tensors for the state are a kind of their own."""
        most: Counter[str] = Counter()
        for events in self.in_epochs:
            most |= Counter("state" if event.function == "snapshot" else event.kind for event in events)
        return most


class WatchedTrainer(Trainer):
    """A trainer that sorts what is seen meanwhile by steps and epochs."""

    watch: Watch
    seen: Seen

    def train_epoch(self, partial: Mapping[str, Any] | None = None) -> None:
        before = len(self.watch.events)
        self.first_step: int | None = None
        self.last_step: int | None = None
        super().train_epoch(partial)
        if not partial:
            self.seen.in_epochs.append(self.watch.events[before:])

    def _take_steps(self, tally: Tally) -> None:
        try:
            super()._take_steps(tally)
        finally:
            self.seen.in_steps.extend(self.watch.events[self.first_step : self.last_step])

    def train_step(self, *args: Any) -> tuple[torch.Tensor, torch.Tensor]:
        if self.first_step is None:
            self.first_step = len(self.watch.events)
        result = super().train_step(*args)
        self.last_step = len(self.watch.events)
        return result


def tiny_set(counts: tuple[int, ...], seed: int) -> LabelledImages:
    """Random images of 8 x 8 pixels, so many of each class, each class of a brightness of its own."""
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    draw = torch.Generator().manual_seed(seed)
    images = torch.randint(100, (len(labels), 3, 8, 8), generator=draw) + 30 * labels.view(-1, 1, 1, 1)
    return LabelledImages(images.to(torch.uint8), labels, torch.arange(len(labels)), list("abcde"))


class Runs:
    """Runs on tiny images whose files lie in a folder.

    Args:
        folder: gets the files.
        copies: how many times as many images of each class there are.
    """

    def __init__(self, folder: Path, copies: int = 1) -> None:
        self.folder = folder
        train_counts = tuple(copies * count for count in COUNTS)
        self.sets = [tiny_set(train_counts, seed=1), tiny_set((4 * copies,) * len(COUNTS), seed=2)]

    def on_cpu(self, setting: Setting) -> Outcome:
        return self._outcome(setting, CPU, nullcontext(Watch()))[0]

    def on_cuda(self, setting: Setting) -> tuple[Outcome, Seen]:
        return self._outcome(setting, CUDA, pretended_cuda())

    def _start(self, setting: Setting) -> str | None:
        """The model file of a first stage or of a teacher, where the setting needs one."""
        if not {"retrain", "distill"} & setting.run.keys():
            return None
        path = self.folder / "start.safetensors"
        if not path.exists():
            path.write_bytes(self.on_cpu(Setting()).model)
        return str(path)

    def _outcome(
        self, setting: Setting, device: torch.device, pretence: AbstractContextManager[Watch]
    ) -> tuple[Outcome, Seen]:
        start, logits = self._start(setting), None
        with tempfile.TemporaryDirectory(dir=self.folder) as name, redirect_stdout(StringIO()):
            folder = Path(name)
            path = folder / "model.safetensors"
            paths = self._tensors(setting, folder)
            with pretence as watch:
                trainer = self._trained(setting, device, folder / "work", paths, watch, start)
                if setting.predicts:
                    self._save(trainer, path)
                    model, card = load_model(path, device)
                    logits = predict(model, self.sets[1], card, device, resident=trainer.resident).tolist()
            if not setting.predicts:
                self._save(trainer, path)
            return Outcome(path.read_bytes(), trainer.progress.history, logits), trainer.seen

    def _tensors(self, setting: Setting, folder: Path) -> list[Path]:
        """The files of the training and of the validation images."""
        paths = [folder / "train.pth", folder / "val.pth"]
        for data, path in zip(self.sets, paths, strict=True):
            save_tensors(data, path, setting.shard_bytes)
        return paths

    def _save(self, trainer: Trainer, path: Path) -> None:
        save_model(path, trainer.progress.best_weights, model_card(trainer, self.sets[0].class_names))

    def _trained(
        self,
        setting: Setting,
        device: torch.device,
        work: Path,
        paths: list[Path],
        watch: Watch,
        start: str | None,
    ) -> WatchedTrainer:
        work.mkdir()
        seen = Seen([], [], [])
        while True:
            sets, resident = load_sets(paths, device, setting.place)
            trainer = WatchedTrainer(
                RunSettings.from_settings(setting.settings(), seed=1),
                *sets,
                device=device,
                states=StateFolder(work),
                start=start if "retrain" in setting.run else None,
                teacher=start if "distill" in setting.run else None,
                stop=StopAfter(setting.stop_after) if device == CUDA and setting.stop_after else None,
                resident=resident,
            )
            trainer.watch, trainer.seen = watch, seen
            try:
                trainer.train()
            except Stopped as stopped:
                seen.stops.append(str(stopped))
            else:
                return trainer


@contextmanager
def runs(copies: int = 1) -> Iterator[Runs]:
    with tempfile.TemporaryDirectory() as folder:
        yield Runs(Path(folder), copies)


def table() -> str:
    """What the host waits for under each setting, in Markdown."""
    lines = [
        "| setting | waits in steps | read-backs in an epoch | uploads in an epoch | tensors of its state | result |",
        "|---|--:|--:|--:|--:|---|",
    ]
    with runs() as small:
        for name, setting in SETTINGS.items():
            outcome, seen = small.on_cuda(setting)
            most = seen.most()
            same = "the CPU's bytes" if outcome == small.on_cpu(setting) else "differs"
            numbers = (len(seen.in_steps), *(most[kind] for kind in ("read-back", "upload", "state")))
            lines.append(f"| {name} | {' | '.join(map(str, numbers))} | {same} |")
    return "\n".join(lines)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(table())
