"""docs/library.md: its blocks are one program that runs, and its command makes a report of what they wrote."""

import contextlib
import re
import shlex
from pathlib import Path

import pytest

from longtail import load_results
from longtail.commands import analyse
from longtail.inference.trial import DIGITS
from longtail.report.figures import style

PAGE = (Path(__file__).parents[2] / "docs/library.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def user(tmp_path_factory):
    """The folder of a user who did what the page says, with one of the figures; and the names of the program."""
    folder = tmp_path_factory.mktemp("user")
    known: dict = {}
    commands = re.findall(r"^    longtail analyse (.*)$", PAGE, re.MULTILINE)
    assert len(commands) == 1
    program = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    # Its two methods take half as many steps as a user's; what the checks find in more is in doors/test_testing.py.
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setitem(DIGITS["train"], "batch_size", 64)
        exec(program, known)  # noqa: S102 (our own page)
        drawn = {"head_middle_tail": analyse.figures()["head_middle_tail"]}
        patch.setattr(analyse, "figures", lambda: drawn)
        patch.setitem(style.LOOK, "pdf.fonttype", 3)  # an embedded font takes a third of a figure's time
        assert analyse.main(shlex.split(commands[0])) == 0
    return folder, known


def test_the_program_learns_and_corrects(user):
    _, known = user
    found = known["metrics"].set_index(["metric", "test_set"])["value"]
    assert found["acc1", "balanced"] > 0.5
    before = (known["logits"].argmax(dim=1) == known["labels"][known["test"]]).float()
    rare = known["labels"][known["test"]] >= 6
    after = (known["adjusted"].argmax(dim=1) == known["labels"][known["test"]]).float()
    assert after[rare].mean() > before[rare].mean()


def test_the_command_makes_the_results_that_the_page_names(user):
    folder, _ = user
    results = load_results(folder / "report")
    assert {*results.evaluation["loss"]} == {"softmax", "balanced_softmax"}
    assert len(results.missing) == 0
    page = (folder / "report/report.html").read_text()
    assert len(page) > 10_000
    assert "Groups of classes" in page and page.count("data:image/png") == 1
