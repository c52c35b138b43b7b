"""`longtail cite`: what finished runs say of their methods, and BibTeX of the papers that this names."""

import re
from pathlib import Path

import pandas as pd
import pytest
from cards import card

from longtail.commands import cite
from longtail.commands.cite import SETTINGS, STATISTICS, main
from longtail.data.sources.table import known_sources
from longtail.experiment.proof import Proofs
from longtail.losses import known_losses
from longtail.machine.environment import write_record
from longtail.models import build_model, known_models
from longtail.models.file import save_model
from longtail.report.references import named_in, references, source_of_loss, source_of_model
from longtail.training.recipe import Recipe

ROOT = Path(__file__).parents[2]
RECIPE = {"precision": "fp32", "deterministic": True, "eval_batch_size": 4}
RECORD = {"settings": {}, "packages": {"torch": "2.15.0", "timm": None}, "commit": "0123456789ab"}


def write_run(results, name="longtailed/resnet8/softmax/seed1", record=RECORD, recipe=None, **facts):
    folder = results / "runs" / name
    folder.mkdir(parents=True)
    model = build_model("resnet8", num_classes=2, image_size=8)
    save_model(
        folder / "model.safetensors", model.state_dict(), card(recipe={**RECIPE, **(recipe or {})}, **facts)
    )
    if record is not None:
        write_record(folder / "run.json", record)


def said(capsys, *words):
    """The paragraph, the keys of the BibTeX after it, and the notes."""
    assert main([*map(str, words)]) == 0
    captured = capsys.readouterr()
    text, _, bibtex = captured.out.partition("\n\n")
    return text, re.findall(r"^@\w+\{(\w+),", bibtex, re.MULTILINE), captured.err


def test_every_paper_has_what_a_citation_needs():
    assert len(references()) > 30
    for one in references().values():
        assert re.fullmatch(r"[a-z]+\d{4}|he2016[a-z]+", one.key) and one.year in one.key
        for field in ("author", "title", "year"):
            assert re.search(rf"^  {field} = \{{.+\}},$", one.bibtex, re.MULTILINE), (one.key, field)
        assert re.search(r"^  (journal|booktitle|institution|howpublished) = ", one.bibtex, re.MULTILINE), (
            one.key
        )
        assert one.bibtex.count("{") == one.bibtex.count("}")
        assert re.fullmatch(r"(\d{4}\.\d{4,5})?", one.eprint), one.key
        # An arXiv id begins with the year and month of its first version, and a paper follows within two years.
        assert not one.eprint or 0 <= int(one.year) - (2000 + int(one.eprint[:2])) <= 2, one.key


def test_every_paper_is_named_where_a_method_is_and_may_be_cited():
    code = {path: path.read_text() for path in (ROOT / "longtail").rglob("*.py")}
    of_methods = {key for loss in known_losses() for key in named_in(source_of_loss(loss))}
    of_methods |= {key for model in known_models() for key in named_in(source_of_model(model))}
    in_cite = set(re.findall(r"[\"']([a-z]+\d{4}[a-z]*)[\"']", code[Path(cite.__file__)]))
    of_sources = {source.paper for source in known_sources().values() if source.paper}
    assert in_cite | of_sources <= {*references()}
    assert {*references()} == of_methods | of_sources | in_cite


@pytest.mark.parametrize("loss", known_losses())
def test_the_source_of_a_loss_is_the_paper_that_its_file_names(loss):
    text = source_of_loss(loss)
    keys = named_in(text)
    assert bool(keys) == bool(text)
    for key in keys:
        title = re.search(r"title = \{(.*)\},$", references()[key].bibtex, re.MULTILINE)[1]
        assert title.replace("{", "").replace("}", "").casefold() in text.casefold()


@pytest.mark.parametrize("model", known_models())
def test_every_architecture_of_ours_has_its_paper(model):
    assert len(named_in(source_of_model(model))) == 1


def test_two_papers_of_one_author_and_year_are_told_apart():
    assert named_in(source_of_model("resnet50")) == ["he2016deep"]
    assert named_in(source_of_model("resnetv2_50")) == ["he2016identity"]
    assert named_in("He et al., 2016") == []


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("Ren et al., Balanced Meta-Softmax, NeurIPS 2020, Theorem 1.", ["ren2020"]),
        ("as by Kang et al., 2020; Cui et al., CVPR 2019", ["kang2020", "cui2019"]),
        ("Loshchilov and Hutter, 2019", ["loshchilov2019"]),
        ("(Müller and Hutter, 2021)", ["muller2021"]),
        ("Ren et al., 2021, and 2020 others; Kangaroo et al., 2020", []),
    ],
)
def test_a_paper_is_known_by_first_author_and_year(text, keys):
    assert named_in(text) == keys


def test_runs_say_what_they_used_and_nothing_else_is_cited(tmp_path, capsys):
    write_run(tmp_path)
    write_run(tmp_path, "longtailed/resnet8/ldam/seed1", loss="ldam")
    write_run(tmp_path, "longtailed/resnet8/ldam/seed2", loss="ldam")
    text, keys, notes = said(capsys, tmp_path)
    assert "We used 2 classes of images: a long-tailed training set of 7 images (2 to 5 a class)." in text
    assert "We trained ResNet-8 (He et al., 2016)." in text
    assert "The losses were LDAM (Cao et al., 2019) and Softmax." in text
    assert "2 seeds (1, 2)." in text and "(commit 0123456789ab)" in text and "PyTorch 2.15.0" in text
    assert keys == ["cao2019", "he2016deep", "kingma2015", "molder2021", "paszke2019"]
    assert "described by numbers alone" in notes


def test_changes_of_a_loss_are_cited(tmp_path, capsys):
    retrained = {**RECORD, "settings": {"retrain": "new"}}
    write_run(tmp_path, "longtailed/resnet8/softmax/seed1", loss_parameters={"smoothing": 0.1})
    write_run(tmp_path, "longtailed/resnet8/crt/seed1", record=retrained)
    write_run(
        tmp_path, "longtailed/resnet8/softmax+la/seed1", record=None, variant={"adjust": "la", "tau": 1.0}
    )
    text, keys, _ = said(capsys, tmp_path)
    for told in ("cRT (Kang et al., 2020)", "Softmax (Szegedy et al., 2016)", "(Menon et al., 2021)"):
        assert told in text
    assert {"kang2020", "menon2021", "szegedy2016"} <= {*keys}


def test_what_has_no_paper_here_is_told(tmp_path, capsys):
    write_run(
        tmp_path,
        "longtailed/mine/mine/seed1",
        loss={"path": "mine.py", "name": "Mine"},
        architecture="torchvision/vgg11",
    )
    text, _, notes = said(capsys, tmp_path)
    assert "mine is a loss of your own" in notes and "the paper of torchvision/vgg11" in notes
    assert "The losses were mine." in text


def test_a_model_of_timm_cites_timm(tmp_path, capsys):
    write_run(tmp_path, "longtailed/small/softmax/seed1", architecture="timm/resnet18.a1_in1k")
    text, keys, _ = said(capsys, tmp_path)
    assert "small (Wightman, 2019)" in text and "wightman2019" in keys


CHANGES = (
    {"schedule": "cosine"},
    {"augment": "trivial"},
    {"augment": "rand"},
    {"augment": "autoaugment"},
    {"cutout": 16},
    {"mixup": {}},
    {"mixup": {"kind": "cutmix"}},
    {"mixup": {"kind": "manifold"}},
    {"mixup": {"remix": {}}},
    {"sam": {}},
    {"drw": {}},
    {"sampler": "progressive"},
    {"sampler": "class_balanced", "sampler_start": 0.8},
    {"max_norm": {}},
    {"tune": "lora"},
    {"tune": "bias"},
)


@pytest.mark.parametrize(
    ("change", "setting"),
    [pytest.param(*both, id=str(both[0])) for both in zip(CHANGES, SETTINGS, strict=True)],
)
def test_a_setting_is_told_where_it_is_used(change, setting, tmp_path, capsys):
    uses, called, papers = setting
    assert uses(Recipe(**change)) and not uses(Recipe())
    write_run(tmp_path / "without")
    write_run(tmp_path / "with", recipe=change)
    text, keys, _ = said(capsys, tmp_path / "with")
    assert called in text and {*papers} <= {*keys}
    text, keys, _ = said(capsys, tmp_path / "without")
    assert called not in text and not {*papers} & {*keys}


@pytest.mark.parametrize("name", STATISTICS)
def test_a_statistic_counts_where_its_table_has_a_number(name, tmp_path, capsys):
    write_run(tmp_path)
    called, papers = STATISTICS[name]
    path = tmp_path / f"statistics/{name}.csv"
    path.parent.mkdir()
    row = {"p_holm": 0.04, "margin": 2.0, "n": 40, "clusters": 20, "note": None}
    pd.DataFrame([{**dict.fromkeys(row), "note": "too few models"}]).to_csv(path, index=False)
    text, _, _ = said(capsys, tmp_path)
    assert "Statistics" not in text and called not in text
    pd.DataFrame([row, {**dict.fromkeys(row), "note": "why"}]).to_csv(path, index=False)
    text, keys, _ = said(capsys, tmp_path)
    assert called in text and {*papers, "holm1979", "schuirmann1987", "rao1992"} <= {*keys}


def test_the_configuration_that_the_proofs_name_tells_the_data(tmp_path, capsys):
    results = tmp_path / "results/mine"
    write_run(results)
    (tmp_path / "config").mkdir()
    file = tmp_path / "config/mine.yaml"
    file.write_text("data: {source: cifar100}\npaths: {results: results/mine}\n")
    (results / "evaluation.parquet").touch()
    Proofs([file]).write([results / "evaluation.parquet"], "key")
    text, keys, notes = said(capsys, results)
    assert "CIFAR-100 (Krizhevsky, 2009), cut to a long tail (Cao et al., 2019)" in text and notes == ""
    assert {"krizhevsky2009", "cao2019"} <= {*keys}
    file.write_text(
        "data: {source: cifar10, train_per_class: 5000, test_per_class: null}\n"
        "train: {select: last, calibrate: false}\npaths: {results: results/mine}\n"
    )
    text, _, _ = said(capsys, results)
    assert "CIFAR-10 (Krizhevsky, 2009), cut to a long tail (Cao et al., 2019)" in text
    file.write_text("data: {source: cifar100}\npaths: {results: results/other}\n")
    text, _, notes = said(capsys, results)
    assert "CIFAR" not in text and "--configfile names it" in notes
    digits = tmp_path / "config/digits.yaml"
    digits.write_text("data: {source: digits, train_per_class: 60, test_per_class: 40}\n")
    text, keys, _ = said(capsys, results, "--configfile", digits)
    assert "digits (Alpaydin and Kaynak, 1998)" in text and "alpaydin1998" in keys


def test_the_styles_name_the_same_papers(tmp_path, capsys):
    write_run(
        tmp_path, "longtailed/my_model/balanced_softmax/seed1", loss="balanced_softmax", temperature=2.0
    )
    write_run(tmp_path, "longtailed/my_model/softmax/seed1", record={**RECORD, "commit": "a_b"})
    written = tmp_path / "cited.bib"
    for style, cited in (("latex", r"\\citep\{([\w,]+)\}"), ("pandoc", r"@(\w+)")):
        assert main([str(tmp_path), "--style", style, "--bibtex", str(written)]) == 0
        text = capsys.readouterr().out
        keys = {key for group in re.findall(cited, text) for key in group.split(",")}
        assert keys == set(re.findall(r"^@\w+\{(\w+),", written.read_text(), re.MULTILINE))
        assert {"ren2020", "guo2017"} <= keys
        assert (r"commit 0123456789ab, a\_b" if style == "latex" else "commit 0123456789ab, a_b") in text
    assert main([str(tmp_path), "--bibtex", "cited.txt"]) == 1
    assert "must end in .bib" in capsys.readouterr().err


def test_text_of_a_record_commands_no_terminal(tmp_path, capsys):
    write_run(tmp_path, record={**RECORD, "commit": "\x1b[31mred", "packages": {"torch": "\x07"}})
    text, _, _ = said(capsys, tmp_path)
    assert "\x1b" not in text and "\x07" not in text and r"\x1b[31mred" in text


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda folder: None, "holds no finished run"),
        (lambda folder: write_run(folder) or (folder / RUN / "run.json").write_text("{"), "run.json"),
        (
            lambda folder: write_run(folder) or (folder / RUN / "model.safetensors").write_bytes(b"no"),
            "model.safetensors",
        ),
        (
            lambda folder: write_run(folder, recipe={"sampler": "gone"}),
            "is of another version of this project",
        ),
    ],
)
def test_results_that_cannot_be_read_are_named(harm, told, tmp_path, capsys):
    harm(tmp_path)
    assert main([str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and told in said and str(tmp_path) in said


RUN = "runs/longtailed/resnet8/softmax/seed1"
