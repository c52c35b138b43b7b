"""The summary's sentences against runs whose answers are known, and what it says where there is no answer."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from programs import run_program
from results_folder import write_results

from longtail.files.parquet import read_parquet, write_parquet
from longtail.report.catalogue import STATISTICS
from longtail.report.summary.phrases import percent

MODELS = ("mobilenetv2", "resnet50")
LOSSES = ("softmax", "class_balanced", "balanced_softmax")

# Correct images of the 40 of each group after long-tailed training; of the tail's ten long-tailed ones, 2, 0 and 6.
LONGTAILED = {
    "softmax": {"head": 36, "middle": 20, "tail": 2},
    "class_balanced": {"head": 4, "middle": 2, "tail": 0},
    "balanced_softmax": {"head": 32, "middle": 24, "tail": 6},
}


def correct(model: str, loss: str, train_set: str, seed: int, group: str) -> int:
    """As above with mobilenetv2, two fewer of head and middle with resnet50; all alike after balanced training."""
    worse = 2 * (model == "resnet50") * (group != "tail")
    return (
        (LONGTAILED[loss][group] if train_set == "longtailed" else 38)
        - worse
        + (seed % 2) * (group == "middle")
    )


def test_equal_shares_read_the_same_however_they_were_summed():
    of_all_images, of_classes = 327 / 400, 0.8175 - 1e-16
    assert of_classes < of_all_images
    assert percent(of_all_images) == percent(of_classes) == "81.8 %"


@pytest.fixture(scope="module")
def summarise(repository):
    """The summary of a results folder, whose statistics are made first where there are none."""

    def run(
        folder: Path,
        source: str = "cifar100",
        imbalance_factor: float = 0.01,
        pretrained: dict[str, bool] | None = None,
    ) -> str:
        evaluation = ("--evaluation", folder / "evaluation.parquet")
        data = {"source": source, "imbalance_factor": imbalance_factor, "seed": 7}
        data["thesis_data"] = (source, imbalance_factor) == ("cifar100", 0.01)
        if not (folder / "statistics").exists():
            run_program(
                "statistical_analysis",
                *(*evaluation, "--runs", folder / "runs", "--split", folder / "data/split.parquet"),
                *("--output-folder", folder / "statistics"),
                *("--settings", json.dumps({"reference": "softmax", "data_seed": 7})),
            )
        run_program(
            "summary",
            *(*evaluation, "--statistics", folder / "statistics", "--output", folder / "summary.md"),
            *("--thesis", repository / "resources/thesis_results.csv"),
            *("--published", repository / "resources/published_results.csv"),
            *("--settings", json.dumps({**data, "reference": "softmax", "pretrained": pretrained or {}})),
        )
        return (folder / "summary.md").read_text(encoding="utf-8")

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two models, three losses, both training sets, three seeds."""
    return write_results(tmp_path_factory.mktemp("full"), correct, MODELS, LOSSES, seeds=(1, 2, 3))


@pytest.fixture(scope="module")
def full(summarise, folder) -> str:
    return summarise(folder)


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """One model, three losses, both training sets, one seed."""
    return write_results(tmp_path_factory.mktemp("small"), correct, ("resnet8",), LOSSES)


@pytest.fixture(scope="module")
def of_small(summarise, small) -> str:
    return summarise(small, source="digits")


def answer(text: str, question: str) -> str:
    """The section that answers a question."""
    return text.split(f"## {question}")[1].split("\n## ")[0]


def test_it_begins_with_the_model_to_use(full):
    assert full.startswith("# Summary\n\n## Which model do I use?\n")
    section = answer(full, "Which model do I use?")
    # The mean over head, middle and tail of 40 images each: mobilenetv2 has 32, 24.67 and 6 right, with softmax 58.67.
    assert section.strip().startswith("**MobileNetV2 with Balanced softmax.** It gets 52.2 % [")
    assert "of all 120 test images right" in section
    assert (
        "the most of 6 (3 losses and 2 models, trained on the long-tailed set, mean over 3 seeds)" in section
    )
    for share in ("head 80.0 % [", "middle 100.0 % [", "tail 60.0 % ["):
        assert share in section
    path = "runs/longtailed/mobilenetv2/balanced_softmax/seed1/model.safetensors"
    assert f"`{path}`, of seed 1 (the others, 2, 3, lie beside it)" in section
    rows = [line for line in section.splitlines() if line.startswith("| ") and "%" in line]
    assert len(rows) == 6
    assert rows[0].split("|")[1].strip() == "MobileNetV2"
    assert rows[0].split("|")[2].strip() == "Balanced softmax"


def test_the_most_right_images_may_be_those_of_another_model(summarise, tmp_path):
    def natural(model: str, loss: str, train_set: str, seed: int, group: str) -> int:
        return {"softmax": {"head": 40, "middle": 10}}.get(loss, {"head": 30, "middle": 18}).get(group, 4)

    folder = write_results(tmp_path, natural, ("resnet8",), ("softmax", "focal"), train_sets=("longtailed",))
    evaluation = read_parquet(folder / "evaluation.parquet")
    # As where classes differ in size by nature: the balanced test set is the smaller one.
    evaluation.loc[evaluation["test_set"] == "balanced", "n"] = 30
    write_parquet(evaluation, folder / "evaluation.parquet")
    section = answer(summarise(folder, source="image_folder"), "Which model do I use?")
    # Focal: 30 of 40, 18 of 20, 4 of 10; softmax: all 40, 10 of 20, 4 of 10.
    assert "**ResNet-8 with Focal.** It gets 74.3 % [" in section
    assert "that is 68.3 %, the most of 2 losses" in section
    assert "the frequent classes: ResNet-8 with Softmax, with 77.1 % [" in section


def test_models_that_are_no_equals_are_not_averaged(summarise, folder):
    text = summarise(folder, pretrained={"mobilenetv2": True, "resnet50": False})
    assert "mean over 2 models" not in text
    assert "for these 2 models" not in text
    assert "over these models" not in text
    assert "models in general" not in text
    section = answer(text, "Which loss for the tail")
    assert "MobileNetV2 started from pretrained weights, ResNet-50 from random ones." in section
    assert section.count("**Balanced softmax** has the best tail after long-tailed training: 60.0 %, ") == 2
    assert section.index("### MobileNetV2") < section.index("### ResNet-50")
    assert "| Loss function" in answer(text, "Which is the safest choice?").split("### ResNet-50")[1]


def test_no_column_is_empty(full, of_small, small):
    page = (small / "statistics/descriptive.md").read_text(encoding="utf-8")  # one seed: no deviation
    for text in (full, of_small, page):
        lines = text.splitlines()
        heads = [place for place, line in enumerate(lines) if line.startswith(("|:", "|-"))]
        assert heads
        for place in heads:
            rows = []
            for line in lines[place + 1 :]:
                if not line.startswith("|"):
                    break
                rows.append([cell.strip() for cell in line.strip("|").split("|")])
            assert all(any(cells) for cells in zip(*rows, strict=True)), lines[place - 1]


def test_the_tail_and_its_price(full):
    section = answer(full, "Which loss for the tail")
    # 6 of 10 against 2 of 10; on the head 32 and 30 of 40 against 36 and 34.
    assert (
        "**Balanced softmax** has the best tail after long-tailed training: 60.0 %, mean over 2 models"
        in section
    )
    assert "+40.0 [" in section
    assert "On the head it has 77.5 %, -10.0 [" in section
    assert "points against Softmax" in section
    assert section.count(" for these 2 models (not significant, Holm p = ") == 2
    # Tail, head and balanced of two losses each.
    assert (
        "Holm's correction is over the 6 differences of this table; its intervals are not corrected."
        in section
    )
    assert "Two one-sided tests at 5 % exclude a difference on the head of more than" in section
    # The best of three was chosen by the images that measure it.
    assert "It is the best of 3 losses on the images that its gain is measured on" in section
    assert "its lead over Softmax is not tested." in section


def test_the_model_and_the_loss(full):
    section = answer(full, "How much depends on the model?")
    assert "with the loss (F = " in section
    assert "MobileNetV2: Balanced softmax; ResNet-50: Balanced softmax." in section


def test_the_safest_choice_has_the_least_regret(full):
    section = answer(full, "Which is the safest choice?")
    # Worst of balanced softmax: four of 40 head images behind softmax. Worst of softmax: four of ten in the tail.
    assert (
        "**Balanced softmax**: whatever the model, training set and test set of these runs, it is" in section
    )
    assert "never more than 10.0 points below the best loss" in section
    assert "Next: Softmax, 40.0 points." in section
    row = next(line for line in section.splitlines() if line.startswith("| Class-balanced"))
    # On the middle with resnet50: 1, 0 and 1 of 20 images with its three seeds, against all 20.
    assert row.split("|")[2].strip() == "96.7"


def test_whether_it_is_real(full):
    section = answer(full, "Is the difference real?")
    assert "test sets are parts of one another" in section
    # 2 losses x 2 models x 5 test sets, and without the models.
    assert "with single models, 8 of 20 differences to Softmax are significant" in section
    assert "over these models, 4 of 10 differences to Softmax are significant" in section
    assert (
        "after Holm's correction over all 10 (0 better, 4 worse): Class-balanced -43.3 on balanced" in section
    )
    assert (
        "After balanced training, with single models: Class-balanced and Balanced softmax got the same images"
        in section
    )
    assert "One seed" not in section
    assert "at least three models that have all losses, and these runs have 2" in section


def test_models_beside_each_other(full):
    section = answer(full, "Model comparison")
    # mobilenetv2, balanced test set of 120, middle + 2 / 3: 58.67, 6.67 and 62.67 correct images.
    assert "35.6 % ± 26.0" in section
    assert "50.6 % ± 2.4" in section
    assert "without class-balanced: highest mean: MobileNetV2" in section


def test_beside_the_thesis(full, repository):
    section = answer(full, "Beside the thesis")
    # 2 models x 3 losses x 2 training sets x 5 test sets.
    assert section.strip().startswith("60 accuracies have a counterpart in the thesis")
    thesis = pd.read_csv(repository / "resources/thesis_results.csv").query(
        "metric == 'acc1' and train_set == 'longtailed' and test_set == 'tail' and model in @MODELS and loss in @LOSSES"
    )
    ours = thesis["loss"].map({loss: counts["tail"] / 10 for loss, counts in LONGTAILED.items()})
    row = next(line for line in section.splitlines() if line.startswith("| Long-tailed  | Tail"))
    assert f"{100 * (ours - thesis['value']).mean():+.1f}" in row
    assert f"{100 * (ours - thesis['value']).abs().mean():.1f}" in row


def test_beside_published_results(full):
    section = answer(full, "Beside published results")
    row = next(line for line in section.splitlines() if line.startswith("| Class-balanced"))
    # BagofTricks-LT: class-balanced with beta 0.9.
    assert "39.0 %" in row
    assert re.search(
        r"\| +86\.9 %", next(line for line in section.splitlines() if line.startswith("| ResNet-50"))
    )


def test_it_states_seeds_images_and_runs(full):
    assert "3 training seeds (1, 2, 3), 1 data split (data seed 7). Test images: balanced 120" in full
    assert "Runs: 36 of 36." in full
    assert "nan" not in full.lower()


def test_one_model_of_other_data_leaves_questions_open(of_small):
    text = of_small
    assert "Not answered by these runs: they have one model, ResNet-8; at least two are needed." in text
    assert "thesis" not in text, "whose images are others"
    assert "ublished" not in text
    real = answer(text, "Is the difference real?")
    assert "whether training anew would give the same is not answered by these runs" in real
    assert "Friedman's test: not answered by these runs: Friedman's test needs at least three models" in real
    # McNemar: class-balanced is right on 52, 51, 32 and 17 images fewer, balanced softmax on 4 more or fewer at most.
    assert "4 of 10 differences to Softmax are significant" in real
    assert "(0 better, 4 worse)" in real
    assert "nan" not in text.lower()


def test_images_of_one_night_count_as_one(summarise, small, of_small, tmp_path):
    folder = write_results(tmp_path, correct, ("resnet8",), LOSSES, night=5)
    text = summarise(folder, source="digits")
    groups = "groups: balanced 24, long-tailed 14, head 8, middle 4, tail 2."
    assert f"Images of one group are not independent of each other; {groups}" in text
    assert groups not in of_small
    for name in STATISTICS:
        assert groups in (folder / "statistics" / f"{name}.md").read_text(encoding="utf-8")
    # Two nights of tail images cannot show anything, and one model is no "whatever the model".
    assert "On the tail, runs like these find no difference, however large, with a chance of 80 %." in text
    assert "speaks of these trained networks on further groups of images;" in text
    assert "**Balanced softmax**: whatever the training set and test set of these runs, it is" in text
    table = pd.read_csv(folder / "statistics/paired_differences.csv").set_index(
        ["train_set", "loss", "test_set"]
    )
    row = table.loc["longtailed", "class_balanced", "head"]
    assert (row["n"], row["clusters"], row["method"]) == (40, 8, "sign flips over groups, exact")
    # Eight nights, on all of which class-balanced is wrong more often.
    assert row["p"] == pytest.approx(2 / 2**8)
    single = pd.read_csv(small / "statistics/paired_differences.csv")
    single = single.set_index(["train_set", "loss", "test_set"]).loc["longtailed", "class_balanced", "head"]
    assert single["p"] < row["p"]
    assert row["high"] - row["low"] > single["high"] - single["low"]


def test_groups_by_counts_are_called_many_medium_and_few_throughout(summarise, of_small, tmp_path):
    folder = write_results(tmp_path, correct, ("resnet8",), LOSSES, train_sets=("longtailed",))
    names = {"head": "many", "middle": "medium", "tail": "few"}
    for file, column in (("evaluation.parquet", "test_set"), ("data/split.parquet", "group")):
        frame = read_parquet(folder / file)
        write_parquet(frame.assign(**{column: frame[column].replace(names)}), folder / file)
    text = summarise(folder, source="digits")
    assert not re.search(r"\b(head|middle|tail)\b", text, re.IGNORECASE)
    for name in STATISTICS:
        assert not re.search(
            r"\b(head|middle|tail)\b",
            (folder / f"statistics/{name}.md").read_text(encoding="utf-8"),
            re.IGNORECASE,
        )
    section = answer(
        text, "Which loss for the few-shot classes, and at what price for the many-shot classes?"
    )
    assert "**Balanced softmax** has the best few-shot accuracy after long-tailed training: 60.0 %" in section
    assert "On the many-shot classes it has 80.0 %, -10.0 [" in section
    # The numbers are those of the same images under their other names.
    numbers = r"[-+]?\d+\.\d+"
    thirds = answer(of_small, "Which loss for the tail")
    assert re.findall(numbers, section) == re.findall(numbers, thirds)


def test_two_seeds_of_one_model_cannot_be_tested(summarise, tmp_path):
    folder = write_results(tmp_path, correct, ("resnet8",), LOSSES, seeds=(1, 2), train_sets=("longtailed",))
    text = summarise(folder, source="digits")
    section = answer(text, "Which loss for the tail")
    assert (
        section.count(
            "points against Softmax (not tested: two runs tell how much runs differ by one number only"
        )
        == 2
    )
    assert "significant" not in section
    real = answer(text, "Is the difference real?")
    assert "After long-tailed training, with this model: no test (two runs tell" in real
    assert "Two seeds: their intervals count how much runs differ, but a test needs three seeds." in real


def test_one_answer_of_all_losses_crowns_none(summarise, tmp_path):
    def alike(model: str, loss: str, train_set: str, seed: int, group: str) -> int:
        return 5 + 10 * (group == "head") + (loss == "balanced_softmax") * (group == "head")

    folder = write_results(tmp_path, alike, MODELS, LOSSES, train_sets=("longtailed",))
    text = summarise(folder, source="digits")
    section = answer(text, "Which loss for the tail")
    assert "All losses have the same tail after long-tailed training: 50.0 %" in section
    assert "-0.0" not in text
    assert "**Balanced softmax**: no loss is above it" in answer(text, "Which is the safest choice?")
    assert "highest mean: all alike" in answer(text, "Model comparison")


def test_one_loss_leaves_nothing_to_compare(summarise, tmp_path):
    text = summarise(
        write_results(tmp_path, correct, ("resnet50",), ("softmax",), train_sets=("longtailed",))
    )
    assert answer(text, "Which loss for the tail").count("Not answered by these runs") == 1
    assert "fewer than two losses have all their runs" in answer(text, "Which is the safest choice?")
    assert "need the reference loss 'softmax' and another one" in answer(text, "Is the difference real?")
    assert "Model comparison" not in text, "one model is compared with nothing"
    assert "critical_difference" not in text, "and has no such figure"


def test_failed_runs_are_named_and_do_not_compete(summarise, tmp_path):
    failed = [("resnet50", "balanced_softmax", "longtailed", 42)]
    failed += [("vit_b16", loss, "longtailed", 42) for loss in LOSSES]
    folder = write_results(
        tmp_path, correct, (*MODELS, "vit_b16"), LOSSES, train_sets=("longtailed",), missing=failed
    )
    text = summarise(folder)
    assert "Runs: 5 of 9; missing and in no number:" in text
    section = answer(text, "Which loss for the tail")
    # Without its resnet50 run, the mean of balanced softmax would be over mobilenetv2 alone.
    assert "**Softmax** has the best tail" in section
    assert "Left out because runs are missing: ViT-B/16, Balanced softmax." in section
    assert "nan" not in text.lower()
