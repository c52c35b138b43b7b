"""Every kind of file that is read back, truncated or damaged: recognised, with its remedy, or harmless."""

import hashlib
import io
import pickle
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from cards import card
from payloads import PAYLOADS, WRITERS, payloads

from longtail.analysis.frames import read_confidences, read_predictions, read_records
from longtail.data.sources.cifar100 import load_images
from longtail.data.tensors.files import LabelledImages, load_tensors, save_tensors
from longtail.files.parquet import read_parquet, write_parquet
from longtail.files.safetensors import read_content
from longtail.files.sealed_json import seal, unseal
from longtail.machine.environment import write_record
from longtail.models import build_model
from longtail.models.card import digest_of, read_card
from longtail.models.file import load_model, save_model
from longtail.models.pretrained import fetch
from longtail.models.weights import KEY, read_weights, write_weights
from longtail.training.checkpoint import MAGIC, StateFolder, read_state

ROOT = Path(__file__).parents[2]
RUN = Path("runs/balanced/resnet8/softmax/seed1")
BLOCK = 512
CARD = card(logit_scale=30.0, best_epoch=2)
RECORD = {
    "seconds": 12.5,
    "peak_memory_mb": 812.0,
    "device": "CPU",
    "epochs": [{"train_images_per_second": 431.25}],
}


def images() -> LabelledImages:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8, generator=generator)
    return LabelledImages(pixels, torch.tensor([0, 0, 1, 1]), torch.arange(4), ["cat", "dog"])


def predictions() -> pd.DataFrame:
    logits = list(np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32))
    labels = np.arange(40) % 2
    table = {
        "image_id": np.arange(40),
        "label": labels,
        "group": "head",
        "longtailed": True,
        "logits": logits,
    }
    return pd.DataFrame(table)


def model_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return build_model("resnet8", num_classes=2, image_size=8).state_dict()


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def write_archive(path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3072), dtype=np.uint8)
    content = {"data": pixels, "fine_labels": [0, 1]}
    with tarfile.open(path, "w:gz") as archive:
        add(archive, "cifar-100-python/meta", pickle.dumps({"fine_label_names": ["cat", "dog"]}))
        add(archive, "cifar-100-python/train", pickle.dumps(content))
        add(archive, "cifar-100-python/test", pickle.dumps(content))


def write_state(path: Path) -> None:
    states = StateFolder(path.parent)
    states.save({"model": {"weight": torch.arange(500.0)}, "epoch": 3})
    states.wait()


def read_with_confidence(path: Path) -> pd.DataFrame:
    predicted = path.with_name("predictions.parquet")
    if not predicted.exists():
        write_parquet(predictions(), predicted, {"model": digest_of(path)})
    return read_confidences([predicted])


# Name: how it is written, and all the ways in which it is read.
FILES = {
    "images.pth": (
        lambda path: save_tensors(images(), path),
        [lambda path: vars(load_tensors(path)), lambda path: vars(load_tensors(path, mmap=True))],
    ),
    "predictions.parquet": (
        lambda path: write_parquet(predictions(), path),
        [read_parquet, lambda path: read_predictions([path])],
    ),
    "model.safetensors": (
        lambda path: save_model(path, model_state(), CARD),
        [lambda path: load_model(path)[0].state_dict(), read_card, read_with_confidence],
    ),
    "weights.safetensors": (
        lambda path: write_weights(
            path, {"a": torch.arange(900.0)}, {"source": "timm/x", "sha256": "0" * 64}
        ),
        [read_weights, lambda path: read_content(path, KEY)],
    ),
    "run.json": (lambda path: write_record(path, RECORD), [lambda path: read_records([path])]),
    "current.state": (write_state, [read_state]),
    "archive.tar.gz": (write_archive, []),  # read by its hash, which is that of the whole file
}


def readers(name: str, whole: bytes) -> list:
    if name == "archive.tar.gz":
        return [lambda path: vars(load_images(path, hashlib.sha256(whole).hexdigest()))]
    return FILES[name][1]


def same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, pd.DataFrame):
        return a.map(repr).equals(b.map(repr))
    return a == b


def damages(whole: bytes, step: int) -> list[bytes]:
    """Cut, flipped in one bit, and blanked as a block, at every `step` bytes."""
    found = []
    for start in range(0, len(whole), step):
        flipped = bytearray(whole)
        flipped[start] ^= 1 << (start // step) % 8
        blank = whole[:start] + bytes(len(whole[start : start + step])) + whole[start + step :]
        found += [whole[:start], bytes(flipped)] + [blank] * (blank != whole)
    return found


@pytest.mark.parametrize(
    "thorough", [False, pytest.param(True, marks=pytest.mark.long)], ids=["some blocks", "every block"]
)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_recognised_or_harmless(tmp_path, name, thorough):
    path = tmp_path / RUN / name
    path.parent.mkdir(parents=True)
    FILES[name][0](path)
    whole = path.read_bytes()
    step = max(len(whole) // 24, 1)
    if thorough:
        step = BLOCK if len(whole) > 20_000 else 8
    cases = damages(whole, step)
    for read in readers(name, whole):
        expected = read(path)
        refused = 0
        for damaged in cases:
            path.write_bytes(damaged)
            try:
                found = read(path)
            except ValueError as error:
                refused += 1
                assert str(path) in str(error) or "damaged" in str(error)
                assert "again" in str(error) or "make it with" in str(error) or name == "current.state"
            else:
                assert same(found, expected), "another result, and not a word"
        path.write_bytes(whole)
        assert refused > len(cases) / 4
        assert same(read(path), expected)


# -- files that were made to do harm


def write_hostile_state(content: object, path: Path, writer: str) -> None:
    """Content as the state of a run, with a checksum that is right."""
    WRITERS[writer](content, path)
    payload = path.read_bytes()
    path.write_bytes(MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)


@pytest.mark.parametrize("name", PAYLOADS)
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("loader", ["weights", "state"])
def test_no_payload_of_weights_or_of_a_state_runs(tmp_path, loader, writer, name):
    canary, path = tmp_path / "canary", tmp_path / "a.pth"
    hostile = {"conv1.0.weight": payloads(canary)[name]}
    if loader == "state":
        write_hostile_state(hostile, path, writer)
        with pytest.raises(ValueError, match=r"a\.pth is damaged or not a state of this project"):
            read_state(path)
    else:
        WRITERS[writer](hostile, path)
        with pytest.raises(ValueError, match=r"a\.pth cannot be read as weights"):
            fetch("torchvision/shufflenet_v2_x0_5", str(path))
    assert not canary.exists()


def test_weights_that_would_unpack_are_refused(tmp_path):
    packed, path = tmp_path / "packed.pth", tmp_path / "plain.pth"
    torch.save({"a": torch.zeros(300_000)}, path)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    assert packed.stat().st_size < path.stat().st_size / 100
    with pytest.raises(ValueError, match=r"packed\.pth cannot be read as weights: .*compressed"):
        fetch("torchvision/shufflenet_v2_x0_5", str(packed))


def test_a_state_of_something_else_is_not_resumed_from(tmp_path, capsys):
    write_hostile_state([1, 2], tmp_path / "current.state", "torch.save")
    assert StateFolder(tmp_path).load() is None
    assert "current.state is damaged or not a state of this project" in capsys.readouterr().err


# -- files of an earlier version, which had no checksums


def test_files_without_checksums_still_load(tmp_path):
    import json

    from safetensors.torch import save_file

    run = tmp_path / RUN
    run.mkdir(parents=True)
    card = {name: getattr(CARD, name) for name in vars(CARD)}
    save_file(
        model_state(),
        run / "model.safetensors",
        {"longtail": json.dumps({"format": "longtail model 1", **card})},
    )
    model, found = load_model(run / "model.safetensors")
    assert found == CARD
    assert same(model.state_dict(), model_state())
    save_file(
        {"a": torch.zeros(2)}, run / "weights.safetensors", {"longtail pretrained weights": '{"source": "x"}'}
    )
    assert read_content(run / "weights.safetensors", KEY) == {"source": "x"}
    assert read_weights(run / "weights.safetensors")["a"].tolist() == [0, 0]
    (run / "run.json").write_text(json.dumps(RECORD))
    assert read_records([run / "run.json"])["images_per_second"].tolist() == [431.25]


def test_a_model_of_another_version_says_that_it_has_to_be_trained_again(tmp_path):
    import json

    from safetensors.torch import save_file

    path = tmp_path / "model.safetensors"
    save_file(model_state(), path, {"longtail": json.dumps({"format": "longtail model 0"})})
    with pytest.raises(
        ValueError, match=r"model\.safetensors .*'longtail model 0', expected .*train it again"
    ):
        load_model(path)
    save_file(model_state(), path, {"longtail": json.dumps({"format": "longtail model 1", "head": "linear"})})
    with pytest.raises(ValueError, match=r"model\.safetensors does not say .*train it again"):
        load_model(path)


def test_what_a_model_file_says_is_read_without_pytorch(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, model_state(), CARD)
    program = (
        "import sys; from longtail.models.card import read_card; print(read_card(sys.argv[1]).logit_scale); "
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program, path], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "30.0\n", done.stderr


# -- weights that do not fit


def test_a_model_file_of_other_classes_or_of_another_model_is_refused_with_what_differs(tmp_path):
    from dataclasses import replace

    path = tmp_path / "model.safetensors"
    save_model(path, model_state(), replace(CARD, class_names=["cat", "dog", "fox"], class_counts=[5, 2, 1]))
    with pytest.raises(ValueError, match=r"model\.safetensors does .*: found 3 for weights of 2 classes"):
        load_model(path)
    save_model(path, model_state(), replace(CARD, architecture="mobilenetv2"))
    with pytest.raises(ValueError, match=r"model\.safetensors does not hold weights of mobilenetv2"):
        load_model(path)
    wrong = model_state() | {"head.weight": torch.zeros(2, 63)}
    save_model(path, wrong, CARD)
    with pytest.raises(ValueError, match=r"head\.weight.*\[2, 63\].*\[2, 64\]"):
        load_model(path)


def test_a_checksum_whose_name_is_damaged_is_no_file_of_an_earlier_version(tmp_path):
    text = seal({"source": "x", "sha256": "0" * 64})
    assert unseal(text, "a.json") == {"source": "x", "sha256": "0" * 64}
    with pytest.raises(ValueError, match=r"a\.json is damaged.*same command again"):
        unseal(text.replace("content_sha256", "conteot_sha256"), "a.json")
    assert unseal('{"source": "x"}', "a.json") == {"source": "x"}
