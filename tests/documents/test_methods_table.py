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
from tools.methods import (
    BENCHMARKS,
    DOCUMENT,
    METHODS,
    ON_DIGITS,
    ROOT,
    TUNED,
    document_tables,
    numbers,
    on_digits,
)


def test_the_documents_tables_are_those_of_the_recorded_numbers():
    tables = document_tables(*numbers())
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


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_published_and_measured_numbers_stand_in_their_rows(benchmark):
    methods = pd.DataFrame(
        [
            ["A", "a", "loss", "`a`", "f.py", "cao2019", "losses.json"],
            ["B", "b", "loss", "`b`", "f.py", None, "by hand"],
        ],
        columns=["method", "name", "changes", "settings", "file", "papers", "golden"],
    )
    published = pd.DataFrame({"loss": ["a", "a"], "dataset": f"{benchmark} IR100", "top1": [40.0, 50.0]})
    measured = pd.DataFrame({"loss": ["b", "b"], "hits": [10, 20], "images": [100, 100]})
    measured["protocol"] = BENCHMARKS[benchmark]
    runs = [
        {"model": model, "hits": hits, "images": 100, "many": 9.0, "medium": 5.0, "few": 1.0, "seconds": 7}
        for model in TUNED
        for hits in (10, 12, 14)
    ]
    digits = pd.DataFrame(
        {"loss": "a", "seed": [1, 2], "all": [1.0, 3.0], "head": 1.0, "middle": 1.0, "tail": 1.0}
    )
    tables = document_tables(methods, published, measured, digits, runs)
    first, second = tables["methods"].to_dict("records")
    assert (first[f"{benchmark}, published"], second[f"{benchmark}, published"]) == ("40.0", "")
    assert (first[f"{benchmark}, ours"], second[f"{benchmark}, ours"]) == ("", "15.0")
    assert (first["Paper"], first["Agrees with"]) == ("Cao et al., 2019", "`tests/golden/losses.json`")
    assert tables["digits"]["All"].tolist() == ["2.0 ± 1.4"]
    # 12 ± 2 of three seeds, with t = 4.303 for two degrees of freedom: 4.303 * 2 / sqrt(3) = 4.97.
    assert set(tables["finetuning"]["Top-1 [95 %]"]) == {"12.0 [7.0, 17.0]"}
    assert set(tables["finetuning"]["Many / medium / few"]) == {"9.0 / 5.0 / 1.0"}
