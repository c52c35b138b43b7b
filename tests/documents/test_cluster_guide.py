"""docs/cluster.md says what can be done: its commands plan their jobs, its targets and files are there."""

import os
import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
import warm
from workspace import Workspace

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "cluster.md").read_text()
COMMANDS = [
    line.removeprefix("nohup ").partition(" > ")[0]
    for block in re.findall(r"^```bash\n(.+?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    return Workspace.create(tmp_path_factory.mktemp("cluster") / "workspace")


@pytest.mark.skipif(
    not find_spec("snakemake_executor_plugin_slurm"), reason="needs the plugin of `make test-slurm`"
)
@pytest.mark.parametrize(
    "command",
    sorted({line.removesuffix(" --dry-run") for line in COMMANDS if line.startswith("snakemake ")}),
)
def test_snakemake_commands_plan_their_jobs(workspace, command, tmp_path):
    # All that planning asks Apptainer is its version.
    apptainer = tmp_path / "bin" / "apptainer"
    apptainer.parent.mkdir()
    apptainer.write_text("#!/bin/sh\necho apptainer version 1.3.0\n")
    apptainer.chmod(0o755)
    # What comes after the runs needs no cluster, and is planned in test_documents.py.
    words = [*shlex.split(command), "--dry-run", "--", "evaluation"]
    done = warm.run(workspace.folder, *words, PATH=f"{apptainer.parent}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stdout + done.stderr
    runs = 14 if "demo.yaml" in command else 56
    assert re.search(rf"^train +{runs}$", done.stdout + done.stderr, re.MULTILINE)


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", "\n".join([*COMMANDS, *re.findall(r"`(.+?)`", GUIDE)])))
    assert {"setup", "test-slurm"} <= named <= targets


def test_files_exist():
    named = set(re.findall(r"(?:config|envs|profiles|tests)/[\w./-]+", GUIDE))
    assert {"envs/longtail.def", "profiles/slurm"} <= named
    assert [name for name in named if not (ROOT / name).exists()] == []
