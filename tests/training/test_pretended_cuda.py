"""Training and prediction on a pretended GPU: the CPU's bytes, no wait in a step, and faults that are seen."""

import importlib
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from pretended_cuda import ROOT, WrongDevice
from pretended_runs import SETTINGS, Setting, runs

from longtail.losses import known_losses


@pytest.fixture(scope="module")
def on_cuda():
    """The outcome of a setting on the pretended GPU, and what was seen; each runs once."""
    with runs() as small:
        yield cache(lambda name: small.on_cuda(SETTINGS[name]))


@pytest.fixture(scope="module")
def on_cpu():
    with runs() as small:
        yield lambda name: small.on_cpu(SETTINGS[name])


@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_ends_with_the_bytes_of_the_cpu_and_no_step_waits(on_cuda, on_cpu, name):
    outcome, seen = on_cuda(name)
    assert outcome == on_cpu(name)
    assert seen.in_steps == []
    most = seen.most()
    # A loss that is not finite, the sums of training, those of validation; the scale of fp16 and its growth.
    assert most["read-back"] == (5 if "fp16" in name else 3)
    # The shares of mixtures and the class counts, and the weights of a loss that is re-weighted.
    assert most["upload"] <= 3


def test_every_loss_is_trained():
    assert {setting.settings()["loss"] for setting in SETTINGS.values()} == set(known_losses())


@pytest.mark.parametrize("name", ["equalization, RandAugment", "focal, mixup", "images left in a file"])
def test_what_an_epoch_waits_for_does_not_grow_with_its_images(on_cuda, name):
    with runs(copies=2) as larger:
        _, seen = larger.on_cuda(SETTINGS[name])
    _, smaller = on_cuda(name)
    assert seen.in_epochs[0]
    # The state of the epoch has the weights of the best one, so it is as large only where the same one is best.
    first = [Counter((event.kind, event.where) for event in run.in_epochs[0]) for run in (seen, smaller)]
    assert first[0] == first[1]


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
    setting: Setting = SETTINGS["softmax"]

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
        "weight = self.class_weight[labels]",
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
def test_what_a_gpu_refuses_is_refused_with_the_line_of_the_product(monkeypatch, name):
    fault = REFUSED[name]
    where = fault.put(monkeypatch)
    with runs() as small, pytest.raises((WrongDevice, TypeError), match=f", at {where}$"):
        small.on_cuda(fault.setting)


@pytest.mark.parametrize("name", WAITING)
def test_a_wait_within_the_steps_is_noted_with_the_line_of_the_product(monkeypatch, name):
    fault = WAITING[name]
    where = fault.put(monkeypatch)
    with runs() as small:
        _, seen = small.on_cuda(fault.setting)
    assert {event.where for event in seen.in_steps} == {where}
