"""The schema for editors: it is current, and knows what the configuration accepts."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema

from longtail.config.load import load_config

ROOT = Path(__file__).parents[2]


def test_the_schema_for_editors_is_current(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "longtail.config.schema", tmp_path / "schema.json"], cwd=ROOT, check=True
    )
    made = (tmp_path / "schema.json").read_text()
    assert (ROOT / "config/schema.json").read_text() == made, "run: python -m longtail.config.schema"
    json.loads(made)


def test_the_schema_for_editors_knows_entries_that_build_on_a_method():
    check = jsonschema.Draft202012Validator(json.loads((ROOT / "config/schema.json").read_text()))
    losses = {
        "crt": {"retrain": {"start": "focal"}},
        "late": {"loss": "crt", "train": {"epochs": 3}},
        "wide": {"loss": "ldam_drw", "max_m": 0.4},
        "own": {"loss": {"path": "a.py", "name": "A"}},
    }
    load_config({"losses": losses})
    assert list(check.iter_errors({"losses": losses})) == []
    for wrong in ({"late": {"loss": "crtt"}}, {"wide": {"loss": "ldam_drw", "gamma": 1}}):
        assert list(check.iter_errors({"losses": wrong}))
