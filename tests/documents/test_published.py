"""docs/published.md against the recorded runs, and how a run becomes a row."""

import json
import statistics

import pandas as pd
import pytest

from longtail.config.load import load_files
from longtail.data.split.sets import frequency_groups
from longtail.experiment.jobs import Experiment
from longtail.report.typeset import fill
from tools.measured_results import PROTOCOLS, document_tables, recorded
from tools.published_configs import BESIDE, FOLDER, UNCHECKED, files


def test_the_documents_tables_are_those_of_the_recorded_runs(repository):
    rows = pd.read_csv(repository / "resources" / "measured_results.csv")
    published = pd.read_csv(repository / "resources" / "published_results.csv")
    document = (repository / "docs" / "published.md").read_text(encoding="utf-8")
    assert fill(document, document_tables(rows, published)) == document, (
        "run the command that the document names"
    )
    assert not rows.duplicated(["protocol", "model", "loss", "seed", "precision", "processor"]).any()
    assert rows["hits"].between(1, rows["images"]).all()


def test_the_files_of_rows_are_those_of_the_tables():
    there = {str(path.relative_to(FOLDER)): path.read_text() for path in FOLDER.rglob("*.yaml")}
    assert there == files(), "run python tools/published_configs.py"


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.folder)
def test_each_row_is_planned_as_in_the_whole_protocol(protocol, repository):
    default = repository / "config/config.yaml"
    whole = Experiment(load_files([default, repository / "config" / protocol.whole], {}))
    rows = sorted((FOLDER / protocol.folder).glob("*.yaml"))
    beside = {loss: settings for (name, loss), settings in BESIDE.items() if name == protocol.name}
    assert {path.stem for path in rows} == {*whole.losses, *beside}
    for path in rows:
        base = path.parent.with_suffix(".yaml")
        own = Experiment(load_files([default, base, path], {}))
        assert own.losses == [*dict.fromkeys([path.stem.partition("+")[0], path.stem])]
        assert own.published_protocol == protocol.name
        assert path.stem in beside or not [told for told in own.config.warnings if "no effect" in told]
        assert own.config.data == whole.config.data
        for loss in {*own.config.trained} - {*beside}:
            assert own.train_settings("resnet32", loss) == whole.train_settings("resnet32", loss)
            assert own.config.needed(loss) == whole.config.needed(loss)


def test_rows_of_another_network_or_without_a_number_have_files_of_their_own(repository):
    published = pd.read_csv(repository / "resources" / "published_results.csv")
    default = repository / "config/config.yaml"
    for protocol in PROTOCOLS:
        for name, loss in BESIDE:
            if name != protocol.name:
                continue
            base = FOLDER / f"{protocol.folder}.yaml"
            own = Experiment(load_files([default, base, FOLDER / protocol.folder / f"{loss}.yaml"], {}))
            row = published[(published["protocol"] == name) & (published["loss"] == loss)]
            assert len(row) == (loss not in UNCHECKED)
            assert own.config.grid.models == (*row["model"],) or loss in UNCHECKED
            (model,) = own.config.grid.models
            recipe = own.config.recipe(model, loss)
            expected = BESIDE[name, loss]["losses"][loss]["train"]
            assert {key: getattr(recipe, key) for key in expected} == expected and recipe.epochs == 200


def test_a_row_beside_its_published_number():
    row = {"protocol": "cao2019", "model": "resnet32", "loss": "softmax", "seed": 1}
    row |= {"images": 10_000, "hits": 4000}
    row |= {"many": 60.0, "medium": 40.0, "few": 20.0, "epochs": 200, "best_epoch": 190, "best_hits": 4100}
    row |= {"precision": "bf16", "processor": "one", "versions": "torch 1", "seconds": 600, "commit": "abc"}
    longer = row | {"loss": "logit_adjusted", "seed": 2}
    other = row | {"protocol": "cao2019-cifar10", "hits": 7000, "few": None}
    published = pd.DataFrame(
        {
            "model": "resnet32",
            "loss": ["softmax", "logit_adjusted", "ldam", "softmax"],
            "protocol": ["cao2019", "cao2019", "cao2019", "cao2019-cifar10"],
            "top1": [38.5, 44.0, 40.0, 70.5],
            "epochs": ["200", "1419", "200", "200"],
        }
    )
    tables = document_tables(pd.DataFrame([row, longer, other]), published)
    (measured,) = tables["measured"].to_dict("records")
    # Wilson's interval of 4,000 of 10,000 by its formula: centre and half width.
    centre, half = (0.4 + 1.96**2 / 20_000) / (1 + 1.96**2 / 10_000), 0.0096
    assert measured["Ours"] == f"40.00 [{100 * (centre - half):.1f}, {100 * (centre + half):.1f}]"
    assert (measured["Published"], measured["Difference"]) == ("38.50", "+1.50")
    assert measured["Best on the test set (epoch)"] == "41.00 (190)"
    assert list(tables["longer"]["Method"]) == ["Logit-adjusted"]
    assert tables["coverage"].startswith("**2 of 3 methods** have been measured, in 2 runs.")
    assert "Not measured yet: LDAM." in tables["coverage"]
    # The same loss on the other data set is a row of its own, whose classes have no few images.
    (measured,) = tables["measured-cifar10"].to_dict("records")
    assert (measured["Difference"], measured["Many / medium / few"]) == ("-0.50", "60.0 / 40.0 / –")
    assert tables["alone-cifar10"] == "None yet."


def test_a_run_that_is_recorded_again_replaces_its_row_and_a_variant_names_where_it_was_trained():
    run = {"protocol": "cao2019", "model": "m", "seed": 1}
    known = pd.DataFrame([{**run, "loss": "softmax", "hits": 1, "precision": "bf16", "processor": "one"}])
    found = [
        {**run, "loss": "softmax", "hits": 2, "precision": "bf16", "processor": "one"},
        {**run, "loss": "softmax+la", "hits": 3},
    ]
    table = recorded(known, found).set_index("loss")
    assert table["hits"].to_dict() == {"softmax": 2, "softmax+la": 3}
    assert table.loc["softmax+la", ["precision", "processor"]].tolist() == ["bf16", "one"]


def test_shots_follow_the_papers():

    counts = {1: "few", 19: "few", 20: "medium", 100: "medium", 101: "many", 500: "many"}
    for count, group in counts.items():
        assert frequency_groups([count], "counts") == [group]


def test_the_pages_say_what_the_gpu_gave(repository):
    found = {
        part: json.loads((repository / "resources" / "gpu_day" / f"{part}.json").read_text())["items"]
        for part in ("correctness", "published", "cifar10", "side_by_side", "throughput")
    }
    rows = pd.read_csv(repository / "resources" / "measured_results.csv")
    rows = rows.set_index(["protocol", "loss", "seed"])
    for protocol in PROTOCOLS:
        for noted in found[protocol.part].values():
            row = rows.loc[protocol.name, noted["loss"], noted["seed"]]
            assert (row["hits"], row["medium"]) == (noted["hits"], noted["medium"])
    page = (repository / "docs" / "performance.md").read_text(encoding="utf-8")
    passed = [name for name, result in found["correctness"].items() if result.get("passed")]
    assert f"{len(passed)} of {len(found['correctness'])} checks passed" in page
    names = {"mobilenetv2": "MobileNetV2", "resnet50": "ResNet-50", "vit_b16": "ViT-B/16"}
    for model, result in found["throughput"].items():
        medians = {name: statistics.median(rates) for name, rates in result["images_per_second"].items()}
        start = f"| {names.get(model, 'ConvNeXt-Base')} | "
        (line,) = [line for line in page.splitlines() if line.startswith(start) and line.count("|") == 6]
        cells = [cell.strip(" *") for cell in line.strip("|").split("|")[1:]]
        assert int(cells[0].replace(",", "")) == pytest.approx(medians["engine"], rel=1e-3)
        assert float(cells[1]) == pytest.approx(result["engine / model alone"], abs=0.005)
        assert float(cells[2]) == pytest.approx(medians["engine"] / medians["thesis, 12 workers"], abs=0.05)
        assert float(cells[3]) == pytest.approx(result["hours_of_the_thesis_grid"], abs=0.05)
    (alone,) = found["side_by_side"].values()
    assert f"trains {round(alone['images_per_second'], -2):,.0f} images/s alone" in page
