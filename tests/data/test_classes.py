"""Classes chosen in the configuration: left out, renamed, merged, and every rule that does not fit refused."""

import json
import re
import signal

import numpy as np
import pytest
import torch
from small_images import SPLIT
from test_groups_of_classes import index_of

from longtail.config.load import ConfigError, load_config
from longtail.data.split.classes import class_mapping
from longtail.data.split.lists import split_of_lists
from longtail.data.split.natural import natural_split
from longtail.data.tensors.files import LabelledImages
from longtail.data.tensors.selection import select_set
from longtail.experiment.contents import content_hash
from longtail.experiment.jobs import Experiment
from longtail.experiment.keys import Keys

MOTHS = ["Noctua pronuba", "Noctua fimbriata", "Agrotis segetum", "Agrotis sp.", "unsorted", "h\u00fcbner"]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({}, {}),
        ({"exclude": ["unsorted", r"/ sp\.$/"]}, {"unsorted": None, "Agrotis sp.": None}),
        ({"rename": {"hu\u0308bner": "other"}}, {"h\u00fcbner": "other"}),
        (
            {"rename": {"/^Noctua (p|f).*/": r"N. \1."}},
            {"Noctua pronuba": "N. p.", "Noctua fimbriata": "N. f."},
        ),
        (
            {"rename": {"unsorted": "a", "h\u00fcbner": "unsorted"}},
            {"unsorted": "a", "h\u00fcbner": "unsorted"},
        ),
        ({"merge": {"Noctua": "/^Noctua /"}}, {"Noctua pronuba": "Noctua", "Noctua fimbriata": "Noctua"}),
        (
            {"merge": {"Agrotis sp.": ["Agrotis segetum"], r"\1": "/^(Noctua) /"}},
            {"Agrotis segetum": "Agrotis sp.", "Noctua pronuba": "Noctua", "Noctua fimbriata": "Noctua"},
        ),
    ],
)
def test_rules_leave_out_rename_and_merge(rules, expected):
    assert class_mapping(MOTHS, rules) == {name: name for name in MOTHS} | expected


def test_a_table_of_names_and_a_taxonomy_are_rules_too(tmp_path):
    (tmp_path / "names.csv").write_text(
        "\ufeffclass;name;who\r\nunsorted;;x\r\nAgrotis sp.;Agrotis segetum;y\r\n;z;\r\n"
    )
    (tmp_path / "taxa.tsv").write_text(
        "species\tgenus\tfamily\nNoctua pronuba\tNoctua\tNoctuidae\nNoctua fimbriata \tNoctua\tNoctuidae\n"
        "Agrotis segetum\tAgrotis\tNoctuidae\nh\u00fcbner\tPieris\tPieridae\nAglais io\tAglais\tNymphalidae\n"
    )
    taxonomy = {"file": tmp_path / "taxa.tsv", "column": "species", "rank": "genus"}
    found = class_mapping(MOTHS, {"names": tmp_path / "names.csv", "taxonomy": taxonomy})
    assert found == dict(
        zip(MOTHS, ["Noctua", "Noctua", "Agrotis", "Agrotis segetum", None, "Pieris"], strict=True)
    )
    refused = {**taxonomy, "rank": "order"}
    with pytest.raises(
        ValueError, match=r"taxonomy: .*taxa\.tsv has no column 'order'; it has 'species', 'genus', 'family'"
    ):
        class_mapping(MOTHS, {"taxonomy": refused})
    with pytest.raises(
        ValueError, match=r"has no genus for 2 of 6 classes, such as 'Agrotis sp\.', 'unsorted'; add rows"
    ):
        class_mapping(MOTHS, {"taxonomy": taxonomy})


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (
            {"exclude": ["Noctua pronba"]},
            "exclude: the class 'Noctua pronba' is not known; did you mean 'Noctua pronuba'",
        ),
        ({"merge": {"x": ["unsorted", "no"]}}, r"merge\.x: the class 'no' is not known"),
        ({"exclude": ["/^Xylena/"]}, r"exclude: /\^Xylena/ matches none of the 6 classes \('Noctua pronuba'"),
        (
            {"exclude": ["unsorted"], "merge": {"x": "/^u/"}},
            r"two rules on the class 'unsorted': data\.classes\.exclude \('unsorted'\) and data\.classes\.merge\.x",
        ),
        ({"exclude": ["unsorted", "/^uns/"]}, "two rules on the class 'unsorted'"),
        ({"exclude": ["/./"]}, "leaves no class of 6; at least two are needed"),
        ({"merge": {"all": "/./"}}, "leaves only the class 'all' of 6"),
        (
            {"rename": {"unsorted": "Agrotis sp."}},
            "'unsorted' would be called 'Agrotis sp.', as 'Agrotis sp.' is; to make",
        ),
        (
            {"rename": {r"/^(\w+) .*/": r"\1"}},
            "would be called 'Noctua', as 'Noctua fimbriata' is; .*write merge",
        ),
        ({"rename": {"/^No/": r"\3"}}, r"the new name '\\\\3' does not fit the expression /\^No/"),
        ({"merge": {r"\1": "/^Noctua( x)?/"}}, "makes an empty name of 'Noctua pronuba'"),
    ],
)
def test_rules_that_do_not_fit_are_refused(rules, told):
    with pytest.raises(ValueError, match=told) as caught:
        class_mapping(MOTHS, rules)
    assert "data.classes" in str(caught.value)


def images_of(index, size=1):
    """An image for each row, whose first value is the place of its id."""
    ids = torch.tensor(sorted(index["image_id"]))
    names = sorted(index["class_name"].unique())
    of_id = index.set_index("image_id")["class_name"]
    labels = torch.tensor([names.index(of_id[int(i)]) for i in ids])
    return LabelledImages(torch.zeros(len(ids), 3, size, size, dtype=torch.uint8), labels, ids, names)


def test_the_classes_of_split_and_tensors_are_those_of_the_rules():
    index = index_of(
        [
            (name, i, "")
            for name, count in zip(MOTHS, [40, 20, 30, 9, 50, 6], strict=True)
            for i in range(count)
        ]
    )
    rules = {
        "exclude": ["unsorted"],
        "rename": {"Agrotis segetum": "h\u00fcbner", "h\u00fcbner": "Agrotis segetum"},
        "merge": {"Noctua": "/^Noctua /"},
        "min_images": 7,
    }
    split, findings = natural_split(index, **SPLIT, classes=rules)
    assert split["class_name"].value_counts().to_dict() == {"Noctua": 60, "h\u00fcbner": 30, "Agrotis sp.": 9}
    assert {(f.path, f.kind, f.action.partition(",")[0]) for f in findings} == {
        ("unsorted", "excluded class", "left out"),
        ("Noctua pronuba", "renamed class", "is 'Noctua'"),
        ("Noctua fimbriata", "renamed class", "is 'Noctua'"),
        ("Agrotis segetum", "renamed class", "is 'h\u00fcbner'"),
        ("h\u00fcbner", "renamed class", "is 'Agrotis segetum'"),
        ("Agrotis segetum", "rare class", "left out"),
    }
    assert not any(finding.refused for finding in findings)
    images = images_of(index)
    chosen = select_set(images, split, "train_longtailed")
    assert chosen.class_names == ["Agrotis sp.", "Noctua", "h\u00fcbner"]
    was = index.set_index("image_id")["class_name"]
    for image, label in zip(chosen.image_ids.tolist(), chosen.labels.tolist(), strict=True):
        assert {"Agrotis sp.": 0, "Noctua pronuba": 1, "Noctua fimbriata": 1, "Agrotis segetum": 2}[
            was[image]
        ] == label
    swapped = LabelledImages(images.images, images.labels.flip(0), images.image_ids, images.class_names)
    with pytest.raises(ValueError, match="labels of the split are not those of the images"):
        select_set(swapped, split, "train_longtailed")
    with pytest.raises(ValueError, match=r"1 of 3 classes have the 40 images of data\.classes\.min_images"):
        natural_split(
            index,
            **SPLIT,
            classes={**rules, "exclude": ["unsorted", "h\u00fcbner"], "min_images": 40, "rename": {}},
        )


def test_what_is_left_out_bounds_no_group():
    """Pictures of a class that is left out connect no groups, and bind none."""
    rows = [(name, i, f"{name} {i}") for name in "ab" for i in range(40)]
    index = index_of([*rows, *[("junk", i, "") for i in range(9)]])
    index.loc[index["class_name"] == "junk", "twin"] = index["image_id"].iloc[0]
    plain, _ = natural_split(index_of(rows), **SPLIT)
    without, _ = natural_split(index, **SPLIT, classes={"exclude": ["junk"]})
    columns = ["image_id", "subset", "label"]
    assert without[columns].to_numpy().tolist() == plain[columns].to_numpy().tolist()


def test_lists_without_images_take_the_same_rules(tmp_path):
    (tmp_path / "train").write_text(
        "".join(f"{label}/{i} {label}\n" for label, n in enumerate([30, 9, 4, 2]) for i in range(n))
    )
    (tmp_path / "names").write_text("wolf\nfox\ndog\ncat\n")
    options = {
        "class_names": tmp_path / "names",
        "classes": {"merge": {"canid": ["wolf", "dog"]}, "min_images": 3},
    }
    split = split_of_lists({"train": tmp_path / "train"}, **options)
    assert split.groupby(["label", "class_name"]).size().to_dict() == {(0, "canid"): 34, (1, "fox"): 9}
    with pytest.raises(ValueError, match=r"exclude: the class 'wlf' is not known; did you mean 'wolf'\?"):
        split_of_lists({"train": tmp_path / "train"}, **{**options, "classes": {"exclude": ["wlf"]}})


# -- the configuration


def configuration(tmp_path, **data):
    for name in ("moth", "bee"):
        (tmp_path / "c" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "c" / name / "0.png").write_bytes(b"")
    data = {"source": "image_folder", "image_folder": {"path": str(tmp_path / "c"), "size": 8}, **data}
    return load_config({"data": data, "paths": {"results": str(tmp_path / "results")}})


def test_rules_are_refused_while_planning(tmp_path):
    with pytest.raises(
        ConfigError, match=r"data.classes.exclude: the class 'mth' is not known; did you mean 'moth'"
    ):
        Keys(Experiment(configuration(tmp_path, classes={"exclude": ["mth"]}))).split()
    with pytest.raises(ConfigError, match=re.escape("data.classes.exclude: /(/ is no regular expression")):
        configuration(tmp_path, classes={"exclude": ["/(/"]})
    with pytest.raises(
        ConfigError,
        match=r"data\.classes is for data\.source image_folder and lists, but the source is digits",
    ):
        load_config({"data": {"source": "digits", "classes": {"exclude": ["1"]}}})


@pytest.mark.parametrize(
    "wanted",
    [
        "/[/",
        "/a{99999999999999999999}/",
        "/(?<=a+)b/",
        "/ape(?i)/",
        "/[[a]pe/",
        "/\\8/",
        pytest.param(f"/{3000 * '('}{3000 * ')'}/", id="deep"),
    ],
)
@pytest.mark.parametrize("rule", [{"exclude": ["{}"]}, {"rename": {"{}": "x"}}, {"merge": {"x": "{}"}}])
def test_what_python_takes_for_no_expression_is_refused_in_one_sentence(tmp_path, wanted, rule):
    classes = json.loads(json.dumps(rule).replace("{}", json.dumps(wanted)[1:-1]))
    with pytest.raises(ConfigError, match=r"is no regular expression|has too many brackets") as caught:
        configuration(tmp_path, classes=classes)
    (problem,) = caught.value.problems
    assert problem.startswith("data.classes.") and "\n" not in problem


@pytest.mark.parametrize(
    "wanted", ["/^(a+)+$/", "/^(a|a)*b/", "/^([a-z]+)*1/", "/a*a*a*a*a*a*a*a*b/", "/(.*)(.*)(.*)(.*)x$/"]
)
@pytest.mark.parametrize("rule", ["exclude", "rename", "merge"])
def test_an_expression_that_would_be_searched_for_ages_is_refused(monkeypatch, wanted, rule):
    monkeypatch.setattr("longtail.data.split.classes.SEARCHING", 0.05)
    rules = {"exclude": [wanted], "rename": {wanted: "x"}, "merge": {"x": wanted}}
    before = signal.getsignal(signal.SIGVTALRM)
    with pytest.raises(
        ValueError, match=r"was searched for 0\.05 s without an end; write it without a repetition"
    ):
        class_mapping(["bee", 200 * "a" + "!"], {rule: rules[rule]})
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)
    assert signal.getsignal(signal.SIGVTALRM) == before


def test_a_new_name_has_no_spaces_around_it_and_no_ends_of_lines():
    assert class_mapping(["ape", "bee"], {"rename": {"ape": " a \n b "}}) == {"ape": "a b", "bee": "bee"}


def test_a_frozen_split_that_is_made_anew_or_is_not_there_is_refused(tmp_path):
    with pytest.raises(
        ConfigError, match=r"data\.split\.file: .* lies in paths\.results, whose files are made anew; copy it"
    ):
        configuration(tmp_path, split={"file": str(tmp_path / "results/data/split.csv")})
    with pytest.raises(
        ConfigError, match=r"data\.split\.file: .*gone\.csv does not exist; copy data/split\.csv of finished"
    ):
        Keys(Experiment(configuration(tmp_path, split={"file": str(tmp_path / "gone.csv")}))).split()
    (tmp_path / "f.csv").write_text("path,split,sha256\na.png,train,0\n")
    first = Keys(Experiment(configuration(tmp_path, split={"file": str(tmp_path / "f.csv")}))).split()
    content_hash.cache_clear()
    (tmp_path / "f.csv").write_text("path,split,sha256\na.png,test,0\n")
    assert first != Keys(Experiment(configuration(tmp_path, split={"file": str(tmp_path / "f.csv")}))).split()


def test_the_content_of_the_tables_counts_and_not_their_place(tmp_path):
    keys = []
    for name, text in {
        "a.csv": "class,name\nmoth,M\n",
        "b.csv": "class,name\nmoth,M\n",
        "c.csv": "class,name\nmoth,N\n",
    }.items():
        (tmp_path / name).write_text(text)
        keys.append(Keys(Experiment(configuration(tmp_path, classes={"names": str(tmp_path / name)}))))
    assert keys[0].split() == keys[1].split() != keys[2].split()
    assert len({key.images() for key in keys}) == 1, "nothing is decoded again"
    taken = Keys(Experiment(configuration(tmp_path, classes={"rename": {"moth": "test"}})))
    assert (
        taken.split()
        != Keys(Experiment(configuration(tmp_path, classes={"rename": {"moth": "train"}}))).split()
    )
    assert np.unique([key.check() for key in keys]).size == 2
