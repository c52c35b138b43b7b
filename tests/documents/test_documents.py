"""Every command that the README and the documents show, and every shipped configuration, does what is said."""

import contextlib
import json
import re
import shlex
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.stats import binom
from snakemake.cli import get_argument_parser, parse_config
from workspace import Workspace, jobs

from longtail.__main__ import COMMANDS, every_action, workflow_parser
from longtail.analysis.statistics.score import tango
from longtail.commands.init import main as init
from longtail.config.load import load_files
from tools.glyphs import write_letters

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "config/README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [*DOCUMENTS, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
CONFIGS = sorted((ROOT / "config").glob("*.yaml"))


def commands(path: Path, program: str) -> list[list[str]]:
    """The commands of a program in a document's tables and in its indented or fenced blocks, without comments."""
    text = path.read_text(encoding="utf-8")
    lines = re.findall(rf"^(?:    |\$ )?({program} .*)$", text, re.MULTILINE)
    lines += re.findall(rf"^\|.*`({program} [^`]*)`.*\|$", text, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def planned_words(words: list[str]) -> tuple[str, ...]:
    """What a command says to Snakemake, for a dry run."""
    return tuple(word for word in words[1:] if word != "-n")


SNAKEMAKE = {
    planned_words(words)
    for path in DOCUMENTS
    for words in commands(path, "snakemake")
    # Those of other machines are planned in test_cluster_guide.py and workflow/test_object_storage.py, and
    # config/mine.yaml stands for a reader's own.
    if not any(place in " ".join(words) for place in ("slurm", "s3://", "config/mine.yaml"))
}
WHOLE = sorted(
    words
    for words in SNAKEMAKE
    if not any(other != words and other[: len(words)] == words for other in SNAKEMAKE)
)
"""The commands that no other one continues with more options, since one that does is planned with all their words."""
OPTIONS = [
    words
    for words in WHOLE
    if "--" not in words and {"--config", "--forcerun", "--resources"} & {*words} and words[0][0] == "-"
]
"""Those that give options to a configuration which is planned below; plans of changes are in test_staleness.py."""
BLOCKS = re.findall(
    r"```yaml\n(.*?)```", (ROOT / "docs/own-images.md").read_text(encoding="utf-8"), re.DOTALL
)
RULES = {
    name
    for path in (ROOT / "workflow/rules").glob("*.smk")
    for name in re.findall(r"^ *(?:rule|checkpoint) (\w+):", path.read_text(encoding="utf-8"), re.MULTILINE)
}
LONGTAIL = sorted({tuple(words[1:]) for path in DOCUMENTS for words in commands(path, "longtail")})
MAKE = [words for path in DOCUMENTS for words in commands(path, "make")]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A copy of this project, with the collections of the documents."""
    workspace = Workspace.create(tmp_path_factory.mktemp("documents") / "workspace")
    # The collections of docs/own-images.md; letters stand for its photographs too.
    write_letters(workspace.folder / "data/letters")
    write_letters(workspace.folder / "data/butterflies")
    (workspace.folder / "config/butterflies.yaml").write_text(BLOCKS[0], encoding="utf-8")
    with contextlib.chdir(workspace.folder):
        assert init(["data/letters"]) == 0  # as the README does, which makes config/letters.yaml
    return workspace


@pytest.fixture(scope="module")
def plan(workspace):
    """From the words of a command to what its dry run prints; each is planned once."""

    def planned(*words):
        # Three seeds of 47 methods plan as one does; those of finetuning.yaml are all planned.
        one_seed = (
            ("--config", "seeds=[1]") if words == ("--configfile", "config/methods-digits.yaml") else ()
        )
        return workspace.plan(*words, *one_seed)

    return cache(planned)


def shown(words):
    return " ".join(("snakemake", *words))


@pytest.mark.parametrize("words", [words for words in WHOLE if words not in OPTIONS], ids=shown)
def test_snakemake_commands_plan(plan, words):
    plan(*words)


@pytest.mark.parametrize("words", OPTIONS, ids=shown)
def test_snakemake_commands_that_only_give_options_are_accepted(workspace, words):
    args = get_argument_parser().parse_args(words)
    files = args.configfile or []
    assert not args.targets
    assert set(files) <= {path.relative_to(ROOT) for path in CONFIGS}
    assert args.forcerun <= RULES
    with contextlib.chdir(workspace.folder):
        load_files(["config/config.yaml", *files], parse_config(args.config))


@pytest.mark.parametrize("words", LONGTAIL, ids=" ".join)
def test_longtail_commands_are_there_and_take_the_options(words):
    name, *rest = words
    options = [word for word in rest if word.startswith("--")]
    if name.startswith("--"):
        assert name == "--print-completion"
        return
    door = COMMANDS[name].workflow or COMMANDS[name].module(name)
    parser = workflow_parser(name) if door is True else door.parser()
    known = {option for action in every_action(parser) for option in action.option_strings}
    passed_on = {"--resources", "--workflow-profile"} if door is True else set()
    assert {*options} <= known | passed_on


@pytest.mark.parametrize("words", MAKE, ids=" ".join)
def test_make_commands_name_a_target(words):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {word for word in words[1:] if "=" not in word} <= set(targets)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[1].strip())
def test_every_configuration_on_the_page_of_own_images_is_accepted(tmp_path, block):
    start, shown = tmp_path / "start.yaml", tmp_path / "shown.yaml"
    start.write_text("data: {source: image_folder, image_folder: {path: moths}}")
    shown.write_text(block, encoding="utf-8")
    load_files([start, shown], {})


def stand_in(lists, folder):
    """Small lists in the place of published ones, with empty files for their pictures."""
    for part in ("train", "val", "test"):
        if part in lists:
            names = [f"{part}{label}.jpg" for label in range(3)]
            rows = {
                ".txt": "".join(f"{name} {label}\n" for label, name in enumerate(names)),
                ".json": json.dumps(
                    {
                        "images": [{"id": label, "file_name": name} for label, name in enumerate(names)],
                        "annotations": [{"image_id": label, "category_id": label} for label in range(3)],
                    }
                ),
            }
            place = folder / lists[part]
            for path in (place, *(folder / lists["root"] / name for name in names)):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(rows[place.suffix] if path == place else "")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_config_plans(plan, workspace, path):
    own = path.name == "config.yaml"  # which is read without being named
    if lists := yaml.safe_load(path.read_text()).get("data", {}).get("lists"):
        stand_in(lists, workspace.folder)
    assert "train" in plan(*([] if own else ["--configfile", f"config/{path.name}"]))


def test_the_full_experiment_is_56_training_jobs_with_a_gpu_each(plan):
    blocks = re.findall(r"rule train:\n(?: +.*\n)*", plan())
    assert len(blocks) == 56
    assert all(re.search(r"resources: .*\bgpu=1\b", block) for block in blocks)


def test_the_one_figure_of_the_readme_needs_no_cores_option(plan):
    planned = jobs(plan("results/figures/model_comparison.pdf"))
    assert "figure model_comparison" in planned
    assert not any(job.startswith("table") for job in planned)


def test_the_readmes_python_runs():
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        names: dict = {}
        exec(compile(block, "README.md", "exec"), names)  # noqa: S102 (our own README)
        assert names["value"].ndim == 0


def test_links_between_the_documents_lead_somewhere():
    for path in PAGES:
        for link in re.findall(r"\]\((?!http)([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / link).exists(), f"{path.name} links to {link}"


def headings(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_links_to_a_heading_find_it():
    checked = 0
    for path in PAGES:
        for link, anchor in re.findall(r"\]\((?!http)([^)#]*)#([^)]+)\)", path.read_text(encoding="utf-8")):
            assert anchor in headings(path.parent / link if link else path), f"{path.name}: {link}#{anchor}"
            checked += 1
    assert checked > 10


def test_files_that_the_documents_name_are_there():
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for name in re.findall(
            r"`((?:config|docs|envs|longtail|profiles|resources|tests|tools)/[^`* ]*)`", text
        ):
            # The site lies where `make docs` puts it.
            known = (ROOT / name).exists() or path.name == "CHANGELOG.md" or name.startswith("docs/_build/")
            assert known or name in ("config/mine.yaml", "config/butterflies.yaml"), (
                f"{path.name} names {name}"
            )


def test_the_planning_code_imports_neither_torch_nor_pandas():
    text = "".join(
        path.read_text() for path in [ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk")]
    )
    assert not re.search(r"import (torch|pandas|numpy)", text)


def test_the_intervals_of_the_run_on_two_cores_follow_from_its_recorded_numbers(repository):
    """Images that one loss alone got right, by difference and total: those whose p has the digits of the page."""
    text = (repository / "docs/cifar100-cpu.md").read_text(encoding="utf-8").replace("−", "-")
    images = {"balanced": 5000, "long-tailed": 1051, "head": 844, "tail": 38}
    rows = {row.split("|")[1].strip(): row for row in text.splitlines() if row.startswith("| ")}
    difference, interval, p = (
        dict(
            zip(
                ("balanced", "long-tailed", "head", "middle", "tail"),
                rows[name].split("|")[2:-1],
                strict=True,
            )
        )
        for name in ("difference, points", "95 % interval", "p")
    )
    for test_set, n in images.items():
        gain, found = round(float(difference[test_set]) * n / 100), set()
        digits = 2 if test_set in ("long-tailed", "tail") else 1
        totals = np.arange(abs(gain), n // 2, 2)
        exact = np.minimum(1, 2 * binom.cdf((totals - abs(gain)) // 2, totals, 0.5))
        for total, value in zip(totals.tolist(), exact, strict=True):
            better = (total + gain) // 2
            if f"{value:.{digits}g}" == f"{float(p[test_set]):.{digits}g}":
                ends = tango(better / n, (total - better) / n, n, 1.959964)
                found.add(" to ".join(f"{100 * end:+.1f}" for end in ends))
        assert found == {interval[test_set].strip()}, test_set


def test_the_page_of_configurations_lists_every_file_and_every_section():
    text = (ROOT / "config/README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?`) \|", text, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(.*?)`", row)}
    files = {path.name for path in CONFIGS}
    sections = set(json.loads((ROOT / "config/schema.json").read_text())["properties"])
    assert named == files | sections


def test_outsiders_run_what_ci_runs():
    steps = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["ci"]["steps"]
    assert steps[-1] == {"run": ".ci/run"}
