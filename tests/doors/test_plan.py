"""The page of a plan. Plans of a real workflow are made in test_workflow.py, their costs in experiment/test_cost.py."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from workspace import Workspace

from longtail.config.load import load_config
from longtail.plan import Job, _power, forced, stages


def test_every_rule_belongs_to_a_stage(repository):
    written = {
        rule
        for path in (repository / "workflow/rules").glob("*.smk")
        for rule in re.findall(r"^ *rule (\w+):", path.read_text(), re.MULTILINE)
    }
    listed = re.findall(r"^\w+$", Workspace(repository).plan("--list-rules"), re.MULTILINE)
    assert len(listed) > 20 and written | set(listed) - {"all"} <= set(stages())
    assert list(dict.fromkeys(stages().values()))[:3] == ["data", "train", "evaluate"]


JOBS = [
    Job("evaluation", {}, ["r/a.parquet", "r/b.parquet"], ["r/evaluation.parquet"]),
    Job("train", {"loss": "crt"}, ["r/a.model"], ["r/crt.model"]),
    Job("predict", {"loss": "a"}, ["r/a.model"], ["r/a.parquet"]),
    Job("train", {"loss": "a"}, ["r/train.pth"], ["r/a.model", "r/a.json"]),
    Job("train", {"loss": "b"}, [], ["r/b.model"]),
    Job("tensors", {}, [], ["r/train.pth"]),
]


@pytest.mark.parametrize(
    ("options", "trained"),
    [
        ({}, set()),
        ({"forceall": True}, {"a", "b", "crt"}),
        ({"forcerun": ["train"]}, {"a", "b", "crt"}),
        ({"forcerun": ["tensors"]}, {"a", "crt"}),
        ({"forcerun": ["./r/a.json"]}, {"a", "crt"}),
        ({"forcerun": ["r/b.model"]}, {"b"}),
        ({"forcerun": ["evaluation", "predict"]}, set()),
        ({"force": True, "targets": ["r/crt.model"]}, {"crt"}),
        ({"targets": ["r/crt.model"]}, set()),
        ({"force": True}, set()),
    ],
)
def test_a_forced_run_is_one_that_the_command_names_or_that_comes_after_one(options, trained):
    args = SimpleNamespace(
        **{"force": False, "forceall": False, "forcerun": None, "targets": None, **options}
    )
    assert {job.wildcards["loss"] for job in forced(JOBS, args) if job.rule == "train"} == trained


def test_a_plan_says_what_its_runs_will_be_able_to_find():
    one, several = (_power(load_config({"seeds": seeds}), Path()) for seeds in ([1], [1, 2, 3]))
    # 2.8 standard errors, of 20 % discordant images: 2.8016 * sqrt(0.2 / 5000) and so on.
    assert (
        "balanced 5,000: 1.8, long-tailed 1,051: 3.9, head 844: 4.3, middle 169: 9.6, tail 38: 20.3" in one[2]
    )
    assert "these trained networks alone" in one[3]
    assert "varies by 1 point over the 3 seeds. It speaks of further training runs" in several[3]
    alone = load_config({"grid": {"losses": ["softmax"]}})
    assert _power(alone, Path()) == []


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
