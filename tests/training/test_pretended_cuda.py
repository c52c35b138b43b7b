"""Training and prediction on a pretended GPU: the CPU's bytes, no wait in a step, and faults that are seen."""

import copy
import importlib
import json
import sys
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from PIL import Image
from pretended_cuda import CUDA, ROOT, WrongDevice, pretended_cuda
from pretended_runs import MANY, SETTINGS, Setting, runs
from programs import run_program

from longtail.export import main as export
from longtail.losses import known_losses
from longtail.losses.ldam import LDAM
from longtail.machine import devices
from longtail.machine.stopping import StopRequest
from longtail.models.variants import adjust, known_variants
from longtail.predict import main as classify
from longtail.settings import constant
from longtail.testing import check_loss


@pytest.fixture(scope="module")
def small():
    with runs() as small:
        yield small


@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_ends_with_the_bytes_of_the_cpu_and_no_step_waits(small, name):
    outcome, seen = small.on_cuda(SETTINGS[name])
    assert outcome == small.on_cpu(SETTINGS[name])
    assert bool(seen.stops) == bool(SETTINGS[name].stop_after)
    assert seen.in_steps == []
    most = seen.most()
    # A loss that is not finite, the sums of training, those of validation; the scale of fp16 and its growth.
    assert most["read-back"] == (5 if "fp16" in name else 3)
    # The shares of mixtures and the class counts, and the weights of a loss that is re-weighted.
    assert most["upload"] <= 3


def test_every_loss_is_trained():
    assert {setting.settings()["loss"] for setting in SETTINGS.values()} == set(known_losses())


def test_what_an_epoch_waits_for_does_not_grow_with_its_images():
    counted, one_epoch = [], replace(MANY, recipe={**MANY.recipe, "epochs": 1, "drw": None})
    for copies in (1, 2):
        with runs(copies) as small:
            _, seen = small.on_cuda(one_epoch)
        assert seen.in_steps == []
        counted.append(Counter((event.kind, event.where) for event in seen.in_epochs[0]))
    assert counted[0] == counted[1]


class Fault(NamedTuple):
    """A line of the product with a fault put into it.

    Attributes:
        place: the module below `longtail`, the class and its function.
        line: what is replaced; it is there once.
        fault: what replaces it.
        seen_at: part of the line at which the fault is seen, where that is another one.
        seen_in: the module of that line, where it is another one.
        setting: the run that gets there.
    """

    place: tuple[str, str, str]
    line: str
    fault: str
    seen_at: str | None = None
    seen_in: str | None = None
    setting: Setting = Setting()

    def put(self, monkeypatch) -> str:
        """Put the fault into the product; file and line at which it is to be seen."""
        name, owner, function = self.place
        module = importlib.import_module(f"longtail.{name}")
        path = Path(module.__file__)
        source = path.read_text()
        assert source.count(self.line) == 1
        faulty = {"__name__": module.__name__}
        exec(compile(source.replace(self.line, self.fault), path, "exec"), faulty)  # noqa: S102
        monkeypatch.setattr(getattr(module, owner), function, vars(faulty[owner])[function])
        seen_in = ROOT / f"longtail/{(self.seen_in or name).replace('.', '/')}.py"
        lines = enumerate(seen_in.read_text().splitlines(), 1)
        (number,) = [n for n, line in lines if (self.seen_at or self.line) in line]
        return f"{seen_in.relative_to(ROOT)}:{number}"


STEP = ("training.run", "Trainer", "train_step")
REFUSED = {
    "a sum left on the CPU": Fault(
        STEP,
        "hits = torch.zeros((), device=self.device, dtype=torch.int64)",
        "hits = torch.zeros((), dtype=torch.int64)",
        "hits += ",
    ),
    "a table left on the CPU": Fault(
        ("batches.mixup", "Mixer", "__init__"),
        "self.class_counts = class_counts.to(device)",
        "self.class_counts = class_counts",
        "shares = remixed(",
        setting=Setting({"mixup": {"remix": {}}}),
    ),
    "class weights left on the CPU": Fault(
        ("losses.base", "Loss", "set_class_weight"),
        "self.class_weight.copy_(weight)",
        "self.class_weight = weight",
        "torch.ones_like(self.class_weight))[labels]",
        setting=Setting({"drw": {"start": 0.5}}),
    ),
    "a generator of the CPU": Fault(
        ("training.run", "Trainer", "_begin_epoch"),
        'generator(seed, "loss", epoch, self.device)',
        'generator(seed, "loss", epoch)',
        "return torch.rand(",
        "losses.equalization",
        setting=SETTINGS["equalization, RandAugment"],
    ),
    "numpy of a tensor on the GPU": Fault(
        ("training.progress", "Tally", "add"),
        "self.losses[self.step] = loss",
        "self.losses[self.step] = float(loss.numpy())",
    ),
}
WAITING = {
    "item": Fault(STEP, "loss_sum += loss.detach()", "loss_sum += loss.item()"),
    "bool": Fault(STEP, "loss_sum += loss.detach()", "loss_sum += loss.detach() if loss > 0 else 0"),
    "a boolean mask": Fault(
        STEP,
        "hits += (logits.detach().argmax(1) == goal.main_labels()).sum()",
        "hits += len(chunk[logits.detach().argmax(1) == goal.main_labels()])",
    ),
    "a copy that blocks": Fault(
        ("batches.feed", "Feed", "_gathered_ahead"),
        "pixels.to(self.device, non_blocking=True)",
        "pixels.to(self.device)",
        setting=Setting(place="file"),
    ),
    "memory that is not pinned": Fault(
        ("batches.feed", "Feed", "_read"),
        'pin_memory=self.device.type == "cuda"',
        "pin_memory=False",
        "pixels.to(self.device, non_blocking=True)",
        setting=Setting(place="file"),
    ),
    "an index left on the CPU": Fault(
        ("training.progress", "Tally", "add"),
        "self.losses[self.step] = loss",
        "self.losses[torch.tensor([self.step])] = loss",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_gpu_refuses_is_refused_with_the_line_of_the_product(small, monkeypatch, name):
    fault = REFUSED[name]
    where = fault.put(monkeypatch)
    with pytest.raises((WrongDevice, TypeError), match=f", at {where}$"):
        small.on_cuda(fault.setting)


@pytest.mark.parametrize("name", WAITING)
def test_a_wait_within_the_steps_is_noted_with_the_line_of_the_product(small, monkeypatch, name):
    fault = WAITING[name]
    where = fault.put(monkeypatch)
    _, seen = small.on_cuda(fault.setting)
    assert {event.where for event in seen.in_steps} == {where}


def test_the_programs_write_the_files_of_the_cpu(digits, train_arguments, tmp_path, monkeypatch):
    monkeypatch.setattr(StopRequest, "install", lambda self: None)
    monkeypatch.setattr(sys, "argv", sys.argv)
    node = tmp_path / "node"
    node.touch()
    monkeypatch.setattr(devices, "NODES", (str(node),) * 2)  # where GPUs are claimed
    picture = tmp_path / "picture.png"
    Image.effect_noise((30, 20), 50).save(picture)
    recipe = {"epochs": 1, "warmup_epochs": 0, "precision": "fp32"}
    files = "model.safetensors", "history.parquet", "predictions.parquet", "classes.csv"
    written = []
    for pretence, device in ((nullcontext, "cpu"), (pretended_cuda, "cuda")):
        folder = tmp_path / device
        folder.mkdir()
        model, _, logits, classes = (str(folder / name) for name in files)
        with pretence():
            run_program("train", *train_arguments(digits, folder, recipe=recipe))
            crops = {"crops": "ten", "expand": 4}
            run_program("predict", model=model, tensors=digits / "test.pth", settings=crops, output=logits)
            assert classify([model, str(picture), "--output", classes, "--threads", "1"]) == 0
        written.append([(folder / name).read_bytes() for name in files])
        assert json.loads((folder / "run.json").read_text())["device_type"] == device
    assert written[0] == written[1]


@pytest.mark.long
def test_an_onnx_file_is_written_where_there_is_a_gpu(base, tmp_path):
    """The longest part of it is PyTorch's, and all of it is computed on the CPU."""
    with pretended_cuda():
        assert export([str(base), "--onnx", str(tmp_path / "model.onnx")]) == 0


def test_the_check_of_a_loss_of_ones_own_compares_the_devices():
    with pretended_cuda() as watch:
        check_loss(LDAM, device="cuda")
    assert watch.events


@pytest.mark.parametrize(
    "name",
    [name for name in known_variants() if constant(f"models/variants/{name}.py", "IMAGES") is None],
)
def test_a_classifier_is_adjusted_where_it_lies(name):
    counts, expected = torch.tensor([5, 2, 1]), torch.nn.Linear(4, 3)
    head = copy.deepcopy(expected)
    adjust(name, expected, counts, tau=1.0)
    with pretended_cuda():
        head.to("cuda")
        adjust(name, head, counts, tau=1.0)
        assert head.weight.device == head.bias.device == CUDA
    assert torch.equal(head.weight, expected.weight)
    assert torch.equal(head.bias, expected.bias)
