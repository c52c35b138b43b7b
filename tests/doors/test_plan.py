"""The page of a plan. Plans of a real workflow are made in test_workflow.py, their costs in experiment/test_cost.py."""

import re
import subprocess
import sys

from workspace import Workspace

from longtail.plan import stages


def test_every_rule_belongs_to_a_stage(repository):
    written = {
        rule
        for path in (repository / "workflow/rules").glob("*.smk")
        for rule in re.findall(r"^ *rule (\w+):", path.read_text(), re.MULTILINE)
    }
    listed = re.findall(r"^\w+$", Workspace(repository).plan("--list-rules"), re.MULTILINE)
    assert len(listed) > 20 and written | set(listed) - {"all"} <= set(stages())
    assert list(dict.fromkeys(stages().values()))[:3] == ["data", "train", "evaluate"]


def test_a_reader_that_has_seen_enough_is_no_error(repository):
    with subprocess.Popen(
        [sys.executable, "-m", "longtail.plan"],
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as plan:
        plan.stdout.close()
        complaint = plan.stderr.read()
    assert plan.returncode == 0
    assert "BrokenPipeError" not in complaint
