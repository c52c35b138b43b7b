"""docs/methods.md against its numbers, and against the methods that there are."""

import json

import pandas as pd
import pytest
import yaml

from longtail.batches.policies import POLICIES
from longtail.batches.sampling import SAMPLERS
from longtail.files.csv import read_csv
from longtail.losses import known_losses
from longtail.models.variants import known_variants
from longtail.report.typeset import fill
from tools.methods import DOCUMENT, MEASURED, METHODS, ON_DIGITS, PUBLISHED, ROOT, document_tables, on_digits


def test_the_documents_tables_are_those_of_the_recorded_numbers():
    tables = document_tables(*map(read_csv, (METHODS, PUBLISHED, MEASURED, ON_DIGITS)))
    document = DOCUMENT.read_text(encoding="utf-8")
    assert fill(document, tables) == document, "run the command that the document names"


def test_every_method_that_there_is_has_a_row_and_every_row_a_file():
    methods = read_csv(METHODS)
    told = " ".join(methods["settings"])
    names = {*known_losses(), *(f"+{name}" for name in known_variants()), *SAMPLERS, *POLICIES} - {
        "instance",
        "softmax",
    }
    assert [name for name in sorted(names) if name not in told] == []
    for row in methods.itertuples():
        assert (ROOT / row.file).is_file(), row.file
        if row.golden.endswith(".json"):
            assert json.loads((ROOT / "tests/golden" / row.golden).read_text()), row.golden
    assert methods["name"].is_unique


def test_the_digits_have_every_method_of_their_configuration():
    config = yaml.safe_load((ROOT / "config/methods-digits.yaml").read_text())
    digits = read_csv(ON_DIGITS)
    assert set(digits["loss"]) == {*config["grid"]["losses"], *config["variants"]}
    assert (digits.groupby("loss")["seed"].agg(set) == set(config["seeds"])).all()


def test_a_run_on_the_digits_is_a_mean_over_classes():
    classes = {"group": ["head", "head", "middle", "tail"], "acc": [1.0, 0.5, 0.25, 0.0]}
    (row,) = on_digits(pd.DataFrame({"loss": "softmax", "seed": 1, **classes})).to_dict("records")
    assert row == {"loss": "softmax", "seed": 1, "all": 43.75, "head": 75.0, "middle": 25.0, "tail": 0.0}


@pytest.mark.parametrize(
    "dataset, column", [("CIFAR10-LT IR100", "CIFAR10-LT"), ("CIFAR100-LT IR100", "CIFAR100-LT")]
)
def test_published_and_measured_numbers_stand_in_their_rows(dataset, column):
    methods = pd.DataFrame(
        [
            ["A", "a", "loss", "`a`", "f.py", "cao2019", "losses.json"],
            ["B", "b", "loss", "`b`", "f.py", None, "by hand"],
        ],
        columns=["method", "name", "changes", "settings", "file", "papers", "golden"],
    )
    published = pd.DataFrame({"loss": ["a", "a"], "dataset": dataset, "top1": [40.0, 50.0]})
    measured = pd.DataFrame({"loss": ["b", "b"], "hits": [10, 20], "images": [100, 100]})
    digits = pd.DataFrame(
        {"loss": "a", "seed": [1, 2], "all": [1.0, 3.0], "head": 1.0, "middle": 1.0, "tail": 1.0}
    )
    tables = document_tables(methods, published, measured, digits)
    first, second = tables["methods"].to_dict("records")
    assert (first[f"{column}, published"], second[f"{column}, published"]) == ("40.0", "")
    assert (first["CIFAR100-LT, ours"], second["CIFAR100-LT, ours"]) == ("", "15.0")
    assert (first["Paper"], first["Agrees with"]) == ("Cao et al., 2019", "`tests/golden/losses.json`")
    assert tables["digits"]["All"].tolist() == ["2.0 ± 1.4"]
