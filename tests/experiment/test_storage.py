"""Results in storage: their proofs, and what is said of what cannot be there. tests/workflow has whole runs."""

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from longtail.config.load import ConfigError
from longtail.config.paths import Paths
from longtail.experiment.contents import END
from longtail.experiment.lock import sign
from longtail.experiment.proof import Proofs
from longtail.experiment.runs import Run
from longtail.experiment.status import statuses
from longtail.experiment.storage import Storage
from longtail.files.sealed_json import seal

RECORD = seal(
    {
        **{"seconds": 1.0, "peak_memory_mb": 1.0, "device": "CPU", "packages": {"torch": "1.0"}},
        "epochs": [{"train_images_per_second": 1.0}],
    }
)
NAMES = ("model.safetensors", "history.parquet", "run.json")


class Bucket:
    """Storage as Snakemake's plugins have it: a folder, of which each machine has a copy that it may lose."""

    def __init__(self, folder: Path, copies: Path):
        self.folder, self.copies, self.retrieved = folder, copies, []

    def object(self, query: str) -> "StoredObject":
        return StoredObject(self, query)


class StoredObject:
    def __init__(self, provider: Bucket, query: str):
        self.provider, self.query = provider, query
        self.local = provider.copies / query

    @property
    def path(self) -> Path:
        return self.provider.folder / self.query

    def local_path(self) -> Path:
        return self.local

    def set_local_path(self, path: Path) -> None:
        self.local = path

    def exists(self) -> bool:
        return self.path.exists()

    def size(self) -> int:
        return self.path.stat().st_size

    def mtime(self) -> float:
        return self.path.stat().st_mtime

    def store_object(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.local, self.path)

    def retrieve_object(self) -> None:
        self.provider.retrieved.append(self.query)
        self.local.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.path, self.local)


class Stored(str):
    """A file of a job, as Snakemake has it: its path on this machine, and its object in storage."""

    is_storage = True
    rule = SimpleNamespace(workflow=SimpleNamespace(iocache=SimpleNamespace(mtime={}, size={})))

    def __new__(cls, bucket: Bucket, query: str):
        new = super().__new__(cls, bucket.copies / query)
        new.storage_object = bucket.object(query)
        return new


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Bucket(tmp_path / "bucket", tmp_path / "here")


def run_of(bucket: Bucket) -> list[Stored]:
    return [Stored(bucket, f"runs/balanced/resnet8/softmax/seed1/{name}") for name in NAMES]


def make(bucket: Bucket, key: str = "key", sign: bytes = b"a") -> list[Stored]:
    """Files of a run and their proof, as a job and Snakemake leave them."""
    outputs = run_of(bucket)
    for output in outputs:
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        Path(output).write_bytes(sign * 3 * END)
        if output.endswith("run.json"):
            Path(output).write_text(RECORD)
        output.storage_object.store_object()
    Proofs().write(outputs, key)
    return outputs


def doubt(outputs: list[Stored], key: str = "key") -> str | None:
    return Proofs().doubt(outputs, key)


def test_what_was_made_is_known_where_no_copy_of_it_is_left(bucket):
    outputs = make(bucket)
    assert doubt(outputs) is None and bucket.retrieved == []
    shutil.rmtree(bucket.copies)
    assert doubt(outputs) is None
    assert bucket.retrieved == ["runs/balanced/resnet8/softmax/seed1/.made/model.safetensors.json"]
    assert doubt(outputs) is None and len(bucket.retrieved) == 1, "the proof is fetched once"
    assert "made with other settings" in doubt(outputs, "another")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_was_replaced_in_storage_is_seen(bucket, name):
    outputs = make(bucket)
    path = outputs[NAMES.index(name)].storage_object.path
    path.write_bytes(b"!" + path.read_bytes()[1:])
    assert doubt(outputs) == f"{name} is not the file that was made"


def test_storage_that_was_copied_is_known_by_its_content_which_is_fetched_once(bucket):
    outputs = make(bucket)
    shutil.copytree(bucket.folder, bucket.folder.with_name("other"), copy_function=shutil.copyfile)
    other = Bucket(bucket.folder.with_name("other"), bucket.copies)
    copies = run_of(other)
    Proofs().doubt(copies, "key")
    assert doubt(copies) is None
    fetched = [query for query in other.retrieved if ".made" not in query]
    assert len(fetched) == len(set(fetched)) <= len(outputs)


def test_what_another_machine_made_anew_is_known_here(bucket):
    make(bucket)
    there = Bucket(bucket.folder, bucket.copies.with_name("there"))
    make(there, "newer", b"b")
    assert doubt(run_of(bucket), "newer") is None
    assert "made with other settings" in doubt(run_of(bucket))


def test_what_no_proof_names_is_not_known_and_what_is_not_there_is_for_snakemake_to_make(bucket):
    outputs = make(bucket)
    shutil.rmtree(bucket.copies)
    for place in bucket.folder.rglob(".made"):
        shutil.rmtree(place)
    assert doubt(outputs) == "nothing says what it was made with"
    shutil.rmtree(bucket.folder)
    assert doubt(outputs) is None


def test_a_job_of_another_machine_leaves_a_proof_by_size_and_time(bucket):
    outputs = run_of(bucket)
    for output in outputs:
        path = output.storage_object.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(RECORD)
    Proofs().write(outputs, "key")
    assert doubt(outputs) is None
    assert Proofs().read(outputs).packages == {"torch": "1.0"}
    path.write_text(path.read_text() + " ")
    assert doubt(outputs) == "run.json is not the file that was made"


def workflow(provider: str | None, prefix: str | None, shared: tuple[str, ...] = ("INPUT_OUTPUT",)):
    settings = SimpleNamespace(default_storage_provider=provider, default_storage_prefix=prefix)
    settings.shared_fs_usage = [SimpleNamespace(name=name) for name in shared]
    return SimpleNamespace(storage_settings=settings)


@pytest.mark.parametrize("path", ["/scratch/results", "../results", "a/../../results"])
@pytest.mark.parametrize("key", ["results", "data"])
def test_a_path_that_leaves_the_folder_cannot_be_in_storage(key, path):
    paths = Paths(**{key: path})
    Storage(workflow(None, None)).check(paths)
    with pytest.raises(ConfigError, match=rf"paths\.{key}: {path} leads out of .* come after s3://mine"):
        Storage(workflow("s3", "s3://mine")).check(paths)
    Storage(workflow("s3", "s3://mine")).check(Paths(**{key: "results/mine"}))


def test_a_text_in_storage_is_read_as_it_is_there(bucket):
    storage = Storage(workflow("s3", "s3://mine"))
    storage._workflow.inputfile = lambda path: Stored(bucket, path)
    output = Stored(bucket, "data/check.txt")
    Path(output).parent.mkdir(parents=True)
    Path(output).write_text("found")
    assert not storage.is_file("data/check.txt")
    output.storage_object.store_object()
    Path(output).write_text("older")
    assert storage.text("data/check.txt") == "found" and storage.is_file("data/check.txt")
    assert storage.local("data/check.txt") == str(bucket.copies / "data/check.txt")


def test_the_log_of_a_failed_job_is_the_newest_that_there_is(bucket):
    storage = Storage(workflow("s3", "s3://mine"))
    storage._workflow.storage_registry = SimpleNamespace(default_storage_provider=bucket)
    copy, kept = bucket.copies / "logs/train.log", bucket.folder / "logs/train.log"
    assert storage.log("plain.log") == "plain.log"
    kept.parent.mkdir(parents=True)
    kept.write_text("of a pod")
    assert storage.log("logs/train.log (send to storage)") == str(copy) and copy.read_text() == "of a pod"
    copy.write_text("of a job here")
    os.utime(copy, (kept.stat().st_mtime + 5,) * 2)
    storage.log("logs/train.log (send to storage)")
    assert copy.read_text() == "of a job here"
    kept.write_text("of the next pod")
    os.utime(kept, (copy.stat().st_mtime + 5,) * 2)
    storage.log("logs/train.log (send to storage)")
    assert copy.read_text() == "of the next pod"


def test_on_the_disk_nothing_is_said_and_paths_stay_as_they_are(tmp_path):
    storage = Storage(workflow(None, None))
    assert list(storage.notes("work")) == []
    assert storage.local("results/a") == storage.place("results/a") == "results/a"
    assert Storage(workflow("s3", "s3://mine/")).place("results/a") == "s3://mine/results/a"
    (tmp_path / "a").write_text("told")
    assert storage.text(str(tmp_path / "a")) == "told"
    assert storage.is_file(str(tmp_path / "a")) and not storage.is_file(str(tmp_path))


@pytest.mark.parametrize(
    ("shared", "work", "notes"), [(("INPUT_OUTPUT",), "work", 1), ((), "/state", 1), ((), "work", 2)]
)
def test_states_that_are_lost_with_their_pod_are_said(shared, work, notes):
    told = list(Storage(workflow("s3", "s3://mine", shared)).notes(work))
    assert len(told) == notes and "in storage, below s3://mine" in told[0]
    assert (notes == 2) == any("begins anew elsewhere" in note for note in told)


def test_watch_says_that_results_in_storage_cannot_be_watched(tmp_path):
    sign(tmp_path, [Run("resnet8", "softmax", "balanced", 1)], (), "s3://mine/first")
    with pytest.raises(
        FileNotFoundError, match=r"are in storage, below s3://mine/first, where longtail watch"
    ):
        statuses(tmp_path)
    sign(tmp_path, [Run("resnet8", "softmax", "balanced", 1)])
    assert [found.state for found in statuses(tmp_path)] == ["waiting"]


def test_a_proof_is_the_same_for_people_and_programs_in_storage(bucket):
    make(bucket)
    (place,) = bucket.folder.rglob(".made/*.json")
    files = json.loads(place.read_text())["files"]
    assert set(files) == set(NAMES) and all(len(state) == 2 and ends for state, ends in files.values())
