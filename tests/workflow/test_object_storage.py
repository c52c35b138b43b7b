"""The workflow with its results in object storage, by the plugins that are installed here."""

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from workspace import DIGITS, Workspace

from longtail.files.parquet import read_parquet

CONFIG = {
    "grid": {"train_sets": ["longtailed"], "models": ["resnet8"], "losses": ["softmax", "focal"]},
    "seeds": [1],
    "models": {"resnet8": {"pretrained": False}},
    "data": DIGITS,
    "train": {"epochs": 1, "image_size": 8, "batch_size": 32, "learning_rate": 0.001},
    "job": {"threads": 1},
}
BAD_LOSS = '''
"""A loss that fails in the first batch, which no plan can know."""

from longtail.losses.base import Loss


class Bad(Loss):
    def per_sample(self, logits, labels):
        raise ValueError("cannot be computed")
'''
# The plugin for folders runs rsync, which not every machine has.
RSYNC = f"""#!{sys.executable}
import shutil, sys
source, target = sys.argv[-2:]
shutil.copy2(source, target)
"""


def plugin(name: str) -> None:
    if importlib.util.find_spec(f"snakemake_storage_plugin_{name}") is None:
        pytest.skip(f"snakemake-storage-plugin-{name} is not installed")


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    if not shutil.which("rsync"):
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/rsync").write_text(RSYNC)
        (tmp_path / "bin/rsync").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    made = Workspace.create(tmp_path / "workspace")
    (made.folder / "config/config.yaml").write_text(yaml.safe_dump(CONFIG))
    return made


@pytest.fixture
def fs():
    """The options for a folder as storage."""
    plugin("fs")
    return ["--default-storage-provider", "fs", "--default-storage-prefix", "store"]


@pytest.fixture
def s3(tmp_path):
    """The options for S3, of which a server runs here."""
    plugin("s3")
    if importlib.util.find_spec("moto") is None:
        pytest.skip("moto[server] is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with (tmp_path / "moto.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            assert server.poll() is None, (tmp_path / "moto.log").read_text()
            time.sleep(0.1)
    yield [
        *("--default-storage-provider", "s3", "--default-storage-prefix", "s3://bucket/mine"),
        *("--storage-s3-endpoint-url", f"http://127.0.0.1:{port}"),
        *("--storage-s3-access-key", "here", "--storage-s3-secret-key", "here"),
    ]
    server.send_signal(signal.SIGTERM)
    server.wait()


def stored(workspace: Workspace) -> list[Path]:
    """The files in the folder that is storage, in the order in which they were stored."""
    files = [path for path in (workspace.folder / "store").rglob("*") if path.is_file()]
    return sorted(files, key=lambda path: path.stat().st_mtime_ns)


def test_every_file_of_a_job_is_an_input_and_no_command_has_a_path_that_is_not_fetched(workspace, fs):
    text = workspace.plan("-p", *fs)
    inputs = re.findall(r"^ +input: (.+)$", text, re.MULTILINE)
    assert len(inputs) > 30
    plain = {
        path for line in inputs for path in line.split(", ") if not path.endswith("(retrieve from storage)")
    }
    assert plain == {"resources/thesis_results.csv", "resources/published_results.csv"}
    commands = re.findall(r"^Shell command: (.+)$|^ +(set -euo .+)$", text, re.MULTILINE)
    words = [word for pair in commands for word in "".join(pair).split()]
    assert sum("workflow/scripts/" in word for word in words) > 30
    assert [word for word in words if word.strip("'").startswith(("results/", "store/", "@results/"))] == []
    assert "the results are in storage, below store" in text


def test_a_path_that_leaves_the_folder_is_refused_before_anything_is_stored(workspace, fs):
    done = workspace.snakemake("-n", *fs, "--config", "paths={results: /elsewhere}", check=False)
    assert (
        done.returncode != 0
        and "paths.results: /elsewhere leads out of the folder" in done.stdout + done.stderr
    )


def test_the_profile_for_kubernetes_plans_a_pod_for_each_run(workspace, fs):
    if importlib.util.find_spec("snakemake_executor_plugin_kubernetes") is None:
        pytest.skip("snakemake-executor-plugin-kubernetes is not installed")
    words = ["--workflow-profile", "profiles/kubernetes", "--configfile", "config/demo.yaml"]
    text = workspace.plan(*words, "--container-image", "registry/longtail", *fs)
    assert text.count("Group job run") == 2 and re.search(r"^train +2$", text, re.MULTILINE)
    (resources, *_) = re.findall(r"rule train:.+?resources: (.+?)\n", text, re.DOTALL)
    assert {"gpu=1", "gpu_manufacturer=nvidia", "scale=0", "mem_mb=2000"} <= set(resources.split(", "))
    assert "begins anew elsewhere" not in text, "the states are on a volume"


@pytest.mark.long
@pytest.mark.parametrize("provider", ["fs", "s3"])
def test_results_in_storage_are_whole_found_again_and_shown_where_a_run_failed(workspace, provider, request):
    storage = request.getfixturevalue(provider)
    workspace.snakemake("--cores", "2", *storage)
    kept = workspace.folder / ".snakemake/storage"
    shutil.rmtree(kept)

    def file(name: str) -> Path:
        """A copy of a result, as another job gets it."""
        copy = workspace.folder / "copies" / Path(name).name
        copy.unlink(missing_ok=True)
        files = f"    input: {name!r}\n    output: local({str(copy)!r})\n"
        (workspace.folder / "Copy").write_text(f"rule copy:\n{files}    shell: 'cp {{input}} {{output}}'\n")
        words = ["-s", "Copy", "--cores", "1", "--workflow-profile", "none", "--nolock", *storage]
        subprocess.run(
            [sys.executable, "-m", "snakemake", *words], cwd=workspace.folder, check=True, capture_output=True
        )
        return copy

    assert file("results/figures/run_cost.txt").read_text().startswith("Cost of 2 training runs")
    assert "Focal" in file("results/summary.md").read_text()
    assert not (workspace.folder / "results/runs").exists()
    assert "Nothing to be done" in workspace.plan(*storage), "the proofs are in storage"
    if provider == "fs":
        copied = [
            workspace.folder / "copied" / path.relative_to(workspace.folder / "store")
            for path in stored(workspace)
        ]
        shutil.copytree(workspace.folder / "store", workspace.folder / "copied")
        for age, path in enumerate(reversed(copied)):
            os.utime(path, (1e9 + age, 1e9 + age))
        assert "Nothing to be done" in workspace.plan(*storage[:3], "copied"), (
            "by content, whatever the times"
        )
    assert "Cost of 2 training runs" in file("results/index.html").read_text(encoding="utf-8")

    changed = workspace.planned(*storage, "--config", "losses={focal: {gamma: 1.0}}")
    assert {job for job in changed if job.startswith("train")} == {"train longtailed/resnet8/focal/1"}

    (workspace.folder / "bad.py").write_text(BAD_LOSS)
    bad = "losses={bad: {loss: {path: bad.py, name: Bad}}}"
    done = workspace.snakemake(
        *(
            "--cores",
            "2",
            *storage,
            "--config",
            bad,
            "grid={losses: [softmax, bad, focal]}",
            "--retries",
            "0",
        ),
        check=False,
    )
    assert done.returncode != 0 and "Some jobs failed" in done.stderr
    assert "cannot be computed" in done.stderr, "the log of the failed run is shown"
    numbers = read_parquet(file("results/evaluation.parquet")).groupby("loss")["value"].count()
    assert numbers["bad"] == 0 and numbers["softmax"] == numbers["focal"] > 0
    assert "missing: longtailed/resnet8/bad/seed1" in file("results/logs/evaluation.log").read_text()
    assert file("results/figures/run_cost.txt").read_text().startswith("Cost of 2 training runs")
