"""The workflow works in any folder: its own files lie beside its Snakefile, data and results where it works."""

import pytest
import yaml
from filelock import FileLock
from workspace import Workspace, jobs

from longtail.experiment.lock import LOCK

CONFIGURATION = {
    "data": {"source": "lists", "lists": {name: f"lists/{name}.txt" for name in ("train", "val", "test")}},
}
MODULE = """
configfile: "config/config.yaml"


module experiment:
    snakefile: "{snakefile}"
    config: config


use rule * from experiment
"""
DEMO = ("--configfile", "config/demo.yaml")


def counted(folder, **paths) -> None:
    """A folder with lists of images and a configuration, and nothing of the workflow."""
    (folder / "config").mkdir(parents=True)
    (folder / "lists").mkdir()
    for name, counts in {"train": (40, 12, 3), "val": (2, 2, 2), "test": (5, 5, 5)}.items():
        lines = [f"{name}/{c}-{i}.jpg {c}" for c, count in enumerate(counts) for i in range(count)]
        (folder / f"lists/{name}.txt").write_text("\n".join(lines) + "\n")
    (folder / "config/config.yaml").write_text(yaml.safe_dump({**CONFIGURATION, "paths": paths}))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Workspace:
    return Workspace.create(tmp_path_factory.mktemp("places") / "a checkout of Ann's")


@pytest.fixture(scope="module")
def jobs_of_demo(checkout) -> set[str]:
    return checkout.planned(*DEMO)


def test_a_snakefile_elsewhere_plans_the_same_jobs_and_finds_its_numbers(checkout, jobs_of_demo, tmp_path):
    here = Workspace(tmp_path / "here")
    here.folder.mkdir()
    snakefile = ("--snakefile", str(checkout.folder / "Snakefile"))
    configured = ("--configfile", str(checkout.folder / "config/demo.yaml"))
    assert here.planned(*snakefile, *configured) == jobs_of_demo


def test_as_a_module_it_takes_the_configuration_of_the_folder(checkout, jobs_of_demo, tmp_path):
    here = Workspace(tmp_path / "here")
    counted(here.folder)
    text = MODULE.format(snakefile=str(checkout.folder / "Snakefile"))
    (here.folder / "Snakefile").write_text(text)
    here.snakemake("--cores", "1", "--", "results/tables/counts.md")
    assert "40" in (here.folder / "results/tables/counts.md").read_text()
    (here.folder / "config/config.yaml").write_text((checkout.folder / "config/demo.yaml").read_text())
    assert jobs(here.plan()) == jobs_of_demo


def test_results_of_their_own_are_made_while_others_are_worked_on(checkout, tmp_path):
    counted(tmp_path / "here", results="other")
    words = ("--directory", str(tmp_path / "here"), "--configfile", str(tmp_path / "here/config/config.yaml"))
    busy = tmp_path / "here/results" / LOCK
    busy.parent.mkdir(parents=True)
    with FileLock(busy):
        checkout.snakemake(*words, "--cores", "1", "--", "other/tables/counts.md")
        own = ("--config", "paths={results: results}", "--", "results/tables/counts.md")
        done = checkout.snakemake(*words, "--cores", "1", *own, check=False)
    assert "40" in (tmp_path / "here/other/tables/counts.md").read_text()
    assert done.returncode == 1
    assert "is working on the results in results. Wait for it, or stop it." in done.stderr
    assert not (checkout.folder / "results").exists()
    assert checkout.planned(*words, "--", "other/tables/counts.md") == set()
