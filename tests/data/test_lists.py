"""Lists as people and programs write them: tables of any make, and the exports of other programs."""

import json
import re
import sys
import zipfile
from datetime import date
from xml.sax.saxutils import escape

import numpy as np
import pytest
from PIL import Image

from longtail.data.collection.listing import list_images
from longtail.data.collection.reading import read_collection
from longtail.data.lists.rows import Choices

NAMES = ["a/1.png", "a/2.png", "b/1.png", "b/2.png"]


@pytest.fixture
def root(tmp_path):
    for number, name in enumerate(NAMES):
        picture(tmp_path / name, number)
    return tmp_path


def picture(path, seed=0, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content) if isinstance(content, bytes) else path.write_text(content, encoding="utf-8")
    return path


def entries(source, root=None, **choices):
    return [(e.path, e.class_name) for e in list_images(source, Choices(**choices), root).entries]


def kinds(source, root=None, **choices):
    return [(f.path, f.kind) for f in list_images(source, Choices(**choices), root).findings]


EXPECTED = [("a/1.png", "ä b"), ("a/2.png", "ä b"), ("b/1.png", "x,y;z"), ("b/2.png", "x,y;z")]
LINES = ["path,label", *(f'{path},"{label}"' for path, label in EXPECTED)]
TABS = [line.replace(",", "\t", 1).replace('"', "") for line in LINES]


# -- tables of one's own


def workbook(path, sheets, hidden=()):
    """A workbook as Office Open XML has it: numbers, truth values, dates (by the style 1) and inline strings."""

    def cell(value):
        if isinstance(value, bool):
            return f'<c t="b"><v>{value:d}</v></c>'
        if isinstance(value, date):
            return f'<c s="1"><v>{(value - date(1899, 12, 30)).days}</v></c>'
        if isinstance(value, float | int):
            return f"<c><v>{value}</v></c>"
        return f'<c t="inlineStr"><is><t>{escape(value)}</t></is></c>' if value else "<c/>"

    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    listed, related = "", ""
    with zipfile.ZipFile(path, "w") as archive:
        for number, (name, rows) in enumerate(sheets.items(), start=1):
            body = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
            archive.writestr(
                f"xl/worksheets/{number}.xml", f"<worksheet {main}><sheetData>{body}</sheetData></worksheet>"
            )
            state = ' state="hidden"' if name in hidden else ""
            listed += f'<sheet name="{escape(name)}" sheetId="{number}"{state} r:id="r{number}"/>'
            related += f'<Relationship Id="r{number}" Type="{relations}/worksheet" Target="worksheets/{number}.xml"/>'
        archive.writestr(
            "xl/workbook.xml", f'<workbook {main} xmlns:r="{relations}"><sheets>{listed}</sheets></workbook>'
        )
        styles = '<cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs>'
        archive.writestr("xl/styles.xml", f"<styleSheet {main}>{styles}</styleSheet>")
        related += f'<Relationship Id="s" Type="{relations}/styles" Target="styles.xml"/>'
        package = 'xmlns="http://schemas.openxmlformats.org/package/2006/relationships"'
        archive.writestr("xl/_rels/workbook.xml.rels", f"<Relationships {package}>{related}</Relationships>")
        start = f'<Relationship Id="r" Type="{relations}/officeDocument" Target="xl/workbook.xml"/>'
        archive.writestr("_rels/.rels", f"<Relationships {package}>{start}</Relationships>")
    return path


OWN_ROWS = [["path", "label", "night", "trap", "wet", "share"]] + [
    [path, label, date(2024, 6, number), number, number > 2, 0.25 * number]
    for number, (path, label) in enumerate(
        [("a/1.png", "ä b"), ("a/2.png", "ä b"), ("b/1.png", "7"), ("b/2.png", 7)], 1
    )
]


@pytest.mark.parametrize(
    ("sheets", "hidden"),
    [
        ({"Sheet1": OWN_ROWS}, ()),
        ({"Notes": [], "Moths 2024": [*OWN_ROWS[:2], [""] * 6, *OWN_ROWS[2:], ["", "  "]]}, ()),
        ({"Legend": [["code", "meaning"], ["x", "y"]], "Moths": OWN_ROWS}, ()),
        ({"Moths": OWN_ROWS, "Old": OWN_ROWS[:3]}, ("Old",)),
    ],
)
@pytest.mark.parametrize("name", ["list.xlsx", "list.csv"])
def test_a_workbook_of_excel_is_read_by_what_it_holds(root, sheets, hidden, name):
    listing = list_images(workbook(root / name, sheets, hidden), Choices(group_column="night"))
    assert [(e.path, e.class_name, e.group, dict(e.more)) for e in listing.entries] == [
        ("a/1.png", "ä b", "2024-06-01", {"trap": "1", "wet": "FALSE", "share": "0.25"}),
        ("a/2.png", "ä b", "2024-06-02", {"trap": "2", "wet": "FALSE", "share": "0.5"}),
        ("b/1.png", "7", "2024-06-03", {"trap": "3", "wet": "TRUE", "share": "0.75"}),
        ("b/2.png", "7", "2024-06-04", {"trap": "4", "wet": "TRUE", "share": "1"}),
    ]


def test_an_export_in_a_workbook_is_known_too(root):
    header = ["id", "observed_on", "image_url", "scientific_name"]
    rows = [
        [f"{n}", "2024", path, label] for n, (path, label) in enumerate([("a/1.png", "x"), ("b/1.png", "y")])
    ]
    assert entries(workbook(root / "l.xlsx", {"export": [header, *rows]})) == [
        ("a/1.png", "x"),
        ("b/1.png", "y"),
    ]


@pytest.mark.parametrize(
    ("sheets", "message"),
    [
        ({"A": OWN_ROWS, "B & C": OWN_ROWS}, r"has the sheets 'A', 'B & C', and any of them may be meant"),
        ({"A": [["x"]], "B": [["y"]]}, r"has the sheets 'A', 'B', and any of them may be meant"),
        ({"A": []}, r"lacks the columns path, label; it has none"),
        (
            {"A": [["Moths of 2024"], *OWN_ROWS]},
            r"row 2: .* than the header, 'Moths of 2024'; .*remove what stands above",
        ),
        ({"A": [*OWN_ROWS[:2], ["b/1.png", ""]]}, r"row 3: path or label is empty"),
    ],
)
def test_a_workbook_that_leaves_something_open_is_refused(root, sheets, message):
    with pytest.raises(ValueError, match=message) as caught:
        list_images(workbook(root / "l.xlsx", sheets))
    assert str(root / "l.xlsx") in str(caught.value)


def test_a_workbook_without_its_reader_says_what_to_install(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(ValueError, match=r"pip install python-calamine, or save its sheet as csv"):
        list_images(workbook(root / "l.xlsx", {"A": OWN_ROWS}))


def test_a_workbook_that_would_fill_the_memory_is_refused(root, monkeypatch):
    path = workbook(root / "l.xlsx", {"A": OWN_ROWS})
    monkeypatch.setattr("longtail.data.lists.workbook.MAX_LIST_BYTES", 1000)
    with pytest.raises(ValueError, match=r"bytes when unpacked; a list of images has at most 1,000"):
        list_images(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.csv", "\n".join(LINES)),
        ("semicolons.csv", "\n".join(line.replace(",", ";", 1) for line in LINES)),
        ("excel.csv", "sep=;\r\n" + "\r\n".join(line.replace(",", ";", 1) for line in LINES)),
        ("bars.txt", "\n".join(line.replace(",", "|", 1) for line in LINES)),
        ("tabs.tsv", "\n".join(TABS)),
        ("bom.csv", "\ufeff" + "\n".join(LINES)),
        ("crlf.csv", "\r\n".join(LINES) + "\r\n\r\n"),
        ("old-mac.csv", "\r".join(LINES)),
        ("latin1.csv", "\n".join(LINES).encode("latin-1")),
        ("cp1252.csv", "\n".join(LINES).encode("cp1252")),
        ("utf16.txt", "\r\n".join(TABS).encode("utf-16")),
        ("utf16be.txt", b"\xfe\xff" + "\r\n".join(TABS).encode("utf-16-be")),
        ("utf16-without-mark.csv", "\n".join(LINES).encode("utf-16-le")),
        ("utf16be-without-mark.csv", "\n".join(LINES).encode("utf-16-be")),
        ("backslashes.csv", "\n".join(line.replace("/", "\\", 1) for line in LINES)),
        ("capitals.csv", "\n".join([" Path , LABEL ", *LINES[1:]])),
        ("blank-rows.csv", "\n".join([LINES[0], ",", *LINES[1:], ",", ""])),
        ("trailing.csv", "\n".join(line + ",," for line in LINES)),
        (
            "reordered.csv",
            "\n".join(["Label,note,Path", *(f'"{label}",n,{path}' for path, label in EXPECTED)]),
        ),
        ("records.json", json.dumps([{"path": path, "label": label} for path, label in EXPECTED])),
        ("lines.jsonl", "\n".join(json.dumps({"path": path, "label": label}) for path, label in EXPECTED)),
        ("no-ending.csv", "\n".join(line.replace(".png", "") for line in LINES)),
        ("no-name", "\n".join(LINES)),
    ],
)
def test_a_table_of_any_make_gives_the_same_images(root, name, content):
    path = write(root / name, content)
    assert entries(path) == EXPECTED
    guessed = name in ("latin1.csv", "cp1252.csv")
    assert kinds(path) == ([(name, "encoding")] if guessed else [])


def test_spaces_around_paths_and_labels_do_not_count(root):
    rows = "\n".join(
        f" {path}  ,  {label} " for path, label in [("a/1.png", "x"), ("a/2.png", "x"), ("b/1.png", "y")]
    )
    assert entries(write(root / "l.csv", f"path,label\n{rows}")) == [
        ("a/1.png", "x"),
        ("a/2.png", "x"),
        ("b/1.png", "y"),
    ]


@pytest.mark.parametrize("other", ["x ", "\u00a0x", "x\t", "\nx"])
def test_a_class_with_spaces_at_its_ends_is_no_other_class(root, other):
    path = write(root / "l.csv", f'path,label\na/1.png,x\na/2.png,"{other}"\nb/1.png,y\n')
    assert entries(path) == [("a/1.png", "x"), ("a/2.png", "x"), ("b/1.png", "y")]
    assert kinds(path) == [("x", "name")]


def test_a_file_is_meant_as_it_is_written_where_there_is_one(root):
    picture(root / "a\\1.png", 7)
    picture(root / " a" / "1.png", 8)
    rows = "path,label\na\\1.png,x\n a/1.png,x\na/1.png,y\n"
    assert entries(write(root / "l.csv", rows)) == [(" a/1.png", "x"), ("a/1.png", "y"), ("a\\1.png", "x")]


def test_whole_paths_and_addresses_of_another_computer_end_in_files_here(root):
    rows = ["C:\\Users\\me\\moths\\a\\1.png,x", "/mnt/disk/a/2.png,x", "https://h.org/p/b/1.png?size=big,y"]
    path = write(root / "l.csv", "\n".join(["path,label", *rows]))
    assert entries(path) == [("a/1.png", "x"), ("a/2.png", "x"), ("b/1.png", "y")]
    (finding,) = list_images(path).findings
    assert finding.kind == "moved" and "names 3 files in another place" in finding.found
    # What is relative has a place, so no other file stands for it.
    rows = "path,label\nc/a/1.png,x\na/2.png,x\nb/1.png,y"
    assert kinds(write(root / "l.csv", rows)) == [("c/a/1.png", "missing")]


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["x.org/photos/5/medium.jpg", "x.org/photos/6/medium.jpg"], "x.org/photos/{}/medium.jpg"),
        (["5.jpg", "6.jpg"], "{}.jpg"),
        (["photos/5.jpg", "photos/6.jpg"], None),
    ],
    ids=["copied with its host", "called by the photograph's number", "elsewhere"],
)
def test_addresses_are_found_however_the_pictures_were_fetched(root, files, found):
    for number, name in enumerate(files):
        picture(root / "got" / name, number)
    rows = [f"https://x.org/photos/{number}/medium.jpg?15930,{name}" for number, name in ((5, "x"), (6, "y"))]
    path = write(root / "l.csv", "\n".join(["path,label", *rows]))
    if found is None:
        with pytest.raises(
            FileNotFoundError, match=r"such as https://x\.org/photos/5/medium\.jpg\?15930 in "
        ):
            list_images(path, root=root / "got")
    else:
        assert entries(path, root / "got") == [(found.format(5), "x"), (found.format(6), "y")]


@pytest.mark.parametrize(
    "addresses",
    [
        ("https://x.org/photos/5/original.png", "https://x.org/photos/6/original.png"),
        ("D:\\north\\IMG_1.png", "D:\\south\\IMG_1.png"),
        ("/north/IMG_1.png", "/south/IMG_1.png"),
    ],
)
def test_a_file_at_which_two_addresses_end_is_neither(root, addresses):
    picture(root / addresses[0].replace("\\", "/").rpartition("/")[2], 1)
    rows = [f"{addresses[0]},x", f"{addresses[1]},x", "a/1.png,x", "b/1.png,y"]
    listing = list_images(write(root / "l.csv", "\n".join(["path,label", *rows])))
    assert [entry.path for entry in listing.entries] == ["a/1.png", "b/1.png"]
    found = next(finding for finding in listing.findings if finding.kind == "ambiguous")
    assert all(address in found.found for address in addresses) and found.refused
    # Two ways to write one address are one picture.
    same = ["http://x.org/a/1.png,x", "https://x.org/a/1.png?size=big,x", "b/1.png,y"]
    listing = list_images(write(root / "l.csv", "\n".join(["path,label", *same])))
    assert [entry.path for entry in listing.entries] == ["a/1.png", "b/1.png"]


def test_further_columns_are_kept_and_change_no_digest(root):
    table = "path,label,date,Trap\na/1.png,x,2024-06-01,A\nb/1.png,y,,B\n"
    listing = list_images(write(root / "l.csv", table))
    found = [{name: row[name] for name in ("path", "date", "Trap")} for row in listing.metadata()]
    assert found == [
        {"path": "a/1.png", "date": "2024-06-01", "Trap": "A"},
        {"path": "b/1.png", "date": "", "Trap": "B"},
    ]
    digest = listing.digest()
    assert list_images(write(root / "l.csv", table.replace("2024", "2025"))).digest() == digest


def test_columns_of_other_names_are_said(root):
    table = "Datei;Art;Nacht\na/1.png;x;1\na/2.png;x;2\nb/1.png;y;1\n"
    path = write(root / "l.csv", table)
    listing = list_images(path, Choices({"path": "Datei", "label": "art"}, "Nacht"))
    assert [(e.path, e.class_name, e.group) for e in listing.entries] == [
        ("a/1.png", "x", "1"),
        ("a/2.png", "x", "2"),
        ("b/1.png", "y", "1"),
    ]
    with pytest.raises(
        ValueError,
        match=r"lacks the columns path, label; it has 'Datei', 'Art', 'Nacht'. .*columns: {path: Datei}",
    ):
        list_images(path)
    with pytest.raises(ValueError, match=r"lacks the columns Art2; it has"):
        list_images(path, Choices({"path": "Datei", "label": "Art2"}))
    with pytest.raises(ValueError, match="the column 'Art' is said to be path and label"):
        list_images(path, Choices({"path": "Art", "label": "Art"}))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("path,label,subset\na/1.png,x,train\nb/1.png,y,test\n", r"column 'subset', which may be the split"),
        (
            "path,label,Fold\na/1.png,x,Training\nb/1.png,y,testing\n",
            r"column 'Fold', which may be the split",
        ),
        (
            "path,label,Groups\na/1.png,x,1\nb/1.png,y,2\n",
            r"'Groups', which may be the group. .*group_column: Groups",
        ),
        ("path,label,bbox\na/1.png,x,1 2 3 4\n", r"has the column 'bbox', which say a region only in part"),
        ("path,label,xmin,ymin\na/1.png,x,1,2\n", r"columns 'xmin', 'ymin', which say a region only in part"),
        ('path,label\na/1.png,"x\nb/1.png,y\n', r"cannot be read as a csv: unexpected end of data"),
        ("path,label;path\na/1.png,x\n", "lacks|more or fewer"),
        (
            b"PK\x03\x04\x14\0[Content_Types].xml",
            r"is an archive or a workbook that cannot be read .*; unpack it, or save its sheet as csv",
        ),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", r"is an archive or a workbook that cannot be read"),
        (b"path,label\n\x81.png,x\n", r"no text in cp1252 .*save it in UTF-8"),
        ("path,label\n\0,x\n", r"it has NUL characters"),
        ("[1, 2", r"is no valid json"),
        ("[" * 100_000, r"is no valid json"),
        ('{"a": 1}', r"is json of no known form; a list is a table"),
        ("<html></html>", r"is XML with the root <html>; known are CVAT"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', r"declares a document type, which no list needs"),
        ("<annotations><image>", r"is no valid XML"),
        ("", r"lacks the columns path, label; it has none"),
    ],
)
def test_what_a_list_leaves_open_is_refused_with_a_sentence(root, table, message):
    with pytest.raises(ValueError, match=message) as caught:
        list_images(write(root / "l.csv", table))
    assert str(root / "l.csv") in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_name_without_an_ending_that_two_files_have_is_refused(root):
    Image.open(root / "a/1.png").save(root / "a/1.jpg")
    with pytest.raises(ValueError, match=r"row 2: a/1 may be 1\.jpg or 1\.png; write its ending"):
        list_images(write(root / "l.csv", "path,label\na/1,x\nb/1.png,y\n"))


def test_a_list_may_lie_elsewhere_than_its_pictures(root, tmp_path):
    path = write(tmp_path / "lists" / "l.csv", "\n".join(LINES))
    assert entries(path, root) == EXPECTED
    with pytest.raises(
        FileNotFoundError, match=r"none of the 4 files .*name their folder by data\.image_folder\.root"
    ):
        list_images(path)
    with pytest.raises(ValueError, match=r"root is .*nowhere, which is no folder"):
        list_images(path, root=tmp_path / "nowhere")
    with pytest.raises(
        ValueError, match="is a folder, so columns, root, regions and min_confidence mean nothing"
    ):
        list_images(root, Choices(regions="ignore"))


# -- regions


def regions(source, size=8, **choices):
    """The pixels of each region that is read, by the name of its image, and the findings."""
    listing = list_images(source, Choices(**choices))
    found = read_collection(listing, size, source.parent, max_side=1000, min_side=2)
    return dict(zip(found.index["path"], found.images.images, strict=True)), found


def cut(path, left, top, right, bottom, size=8):
    image = Image.open(path).crop((left, top, right, bottom)).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image).transpose(2, 0, 1)


PIXELS = "path,label,bbox_x,bbox_y,bbox_width,bbox_height\n"


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        (PIXELS, ["10,6,20,12", "0,0,40,30"]),
        ("path,label,xmin,ymin,xmax,ymax\n", ["10,6,30,18", "0,0,40,30"]),
        ("path,label,XMin,YMin,XMax,YMax\n", ["0.25,0.2,0.75,0.6", "0,0,1,1"]),
        (PIXELS, ["0.25,.2,5e-1,0.4", "0,0,1,1"]),
        ("path;label;bbox_x;bbox_y;bbox_w;bbox_h\n", ["0,25;0,2;0,5;0,4", "0;0;1;1"]),
    ],
)
def test_regions_are_cut_out_in_pixels_or_in_shares(root, header, rows):
    separator = ";" if ";" in header else ","
    lines = [separator.join(["a/1.png", "x", rows[0]]), separator.join(["b/1.png", "y", rows[1]])]
    pixels, found = regions(write(root / "l.csv", header + "\n".join(lines)))
    by_file = {name.split("#")[0]: image for name, image in pixels.items()}
    assert np.array_equal(by_file["a/1.png"].numpy(), cut(root / "a/1.png", 10, 6, 30, 18))
    assert np.array_equal(by_file["b/1.png"].numpy(), cut(root / "b/1.png", 0, 0, 40, 30))
    sizes = found.index.assign(file=[name.split("#")[0] for name in found.index["path"]]).set_index("file")
    assert sizes.loc["a/1.png", ["width", "height"]].tolist() == [20, 12]


def test_several_regions_of_one_picture_are_images_that_stay_together(root):
    rows = ["a/1.png,x,0,0,10,10", "a/1.png,y,20,0,10,10", "a/2.png,y,0,0,10,10", "b/1.png,x,0,0,9,9"]
    pixels, found = regions(write(root / "l.csv", PIXELS + "\n".join(rows)))
    assert len(pixels) == 4
    twins = found.index.assign(file=[name.split("#")[0] for name in found.index["path"]]).groupby("file")[
        "twin"
    ]
    assert twins.nunique().to_dict() == {"a/1.png": 1, "a/2.png": 1, "b/1.png": 1}
    assert found.index["twin"].nunique() == 3
    assert [
        finding for finding in found.findings if "duplicate" in finding.kind or "label" in finding.kind
    ] == []


def test_regions_beyond_the_picture_are_cut_and_told_and_empty_ones_left_out(root):
    rows = [
        "a/1.png,x,30,20,20,20",
        "a/2.png,x,50,0,5,5",
        "b/1.png,y,5,5,0,10",
        "b/2.png,y,-3,-4,20,20",
        "b/2.png,y,5,5,1,10",
        "b/1.png,y,0,0,40.6,30",
    ]
    pixels, found = regions(write(root / "l.csv", PIXELS + "\n".join(rows)))
    assert {name.split("#")[0] for name in pixels} == {"a/1.png", "b/2.png", "b/1.png"}
    told = {(f.path.split("#")[0], f.kind, f.action) for f in found.findings}
    assert told == {
        ("a/1.png", "clipped region", "cut there"),
        ("a/2.png", "empty region", "left out"),
        ("b/1.png", "empty region", "left out"),
        ("b/2.png", "clipped region", "cut there"),
        ("b/2.png", "too small", "left out"),
    }
    assert np.array_equal(pixels["b/2.png#-3,-4,20,20"].numpy(), cut(root / "b/2.png", 0, 0, 17, 16))


def test_a_region_is_of_the_upright_picture(root):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(root / "a/1.png").save(root / "turned.png", exif=exif)
    rows = ["turned.png,x,0.5,0,0.5,0.25", "b/1.png,y,0,0,1,1"]
    pixels, _ = regions(write(root / "l.csv", PIXELS + "\n".join(rows)))
    upright = Image.open(root / "a/1.png").transpose(Image.Transpose.ROTATE_270)  # 30 x 40
    upright.save(root / "upright.png")
    assert np.array_equal(
        pixels["turned.png#0.5,0,0.5,0.25"].numpy(), cut(root / "upright.png", 15, 0, 30, 10)
    )


@pytest.mark.parametrize("bad", ["1,2,3,x", "1,2,,4", "nan,0,1,1", "inf,0,1,1", "1,2,3,1e999"])
def test_a_region_that_is_not_four_numbers_names_its_row(root, bad):
    with pytest.raises(ValueError, match=r"l\.csv, row 2"):
        list_images(write(root / "l.csv", f"{PIXELS}a/1.png,x,{bad}\nb/1.png,y,0,0,1,1"))


def test_rows_without_a_region_among_others_are_left_out_and_regions_can_be_ignored(root):
    rows = ["a/1.png,x,0,0,10,10", "a/1.png,x,9,9,10,10", "a/2.png,x,,,,", "b/1.png,y,0,0,9,9"]
    path = write(root / "l.csv", PIXELS + "\n".join(rows))
    assert entries(path) == [("a/1.png", "x"), ("a/1.png", "x"), ("b/1.png", "y")]
    assert kinds(path) == [("a/2.png", "no region")]
    assert entries(path, regions="ignore") == [("a/1.png", "x"), ("a/2.png", "x"), ("b/1.png", "y")]
    assert kinds(path, regions="ignore") == [("a/1.png", "repeated")]


def test_a_changed_region_changes_the_digest(root):
    table = f"{PIXELS}a/1.png,x,0,0,10,10\nb/1.png,y,0,0,9,9"
    digest = list_images(write(root / "l.csv", table)).digest()
    assert list_images(write(root / "l.csv", table.replace("10,10", "10,11"))).digest() != digest


# -- what other programs export; each as its program writes it


def test_gbif_occurrences_and_media(root):
    """The columns of a download of gbif.org: tabs, no quotes, quotes within cells."""
    for number, name in enumerate(
        ["photos/11/original.jpg", "photos/12/original.jpg", "photos/13/original.jpg"]
    ):
        picture(root / name, 10 + number)
    write(
        root / "occurrence.txt",
        "gbifID\tbasisOfRecord\teventDate\tscientificName\tspecies\tlocality\n"
        '1\tHUMAN_OBSERVATION\t2024-05-01\tLycaena phlaeas (Linnaeus, 1761)\tLycaena phlaeas\tthe "Moor\n'
        "2\tHUMAN_OBSERVATION\t2024-05-02\tPieris rapae (Linnaeus, 1758)\tPieris rapae\t\n"
        "3\tHUMAN_OBSERVATION\t2024-05-02\tPieris Schrank, 1801\t\t\n",
    )
    media = write(
        root / "multimedia.txt",
        "gbifID\ttype\tformat\tidentifier\treferences\n"
        "1\tStillImage\timage/jpeg\thttps://inaturalist-open-data.s3.amazonaws.com/photos/11/original.jpg\t\n"
        "1\tStillImage\timage/jpeg\thttps://inaturalist-open-data.s3.amazonaws.com/photos/12/original.jpg\t\n"
        "2\tStillImage\timage/jpeg\thttps://inaturalist-open-data.s3.amazonaws.com/photos/13/original.jpg\t\n"
        "2\tSound\taudio/mpeg\thttps://static.inaturalist.org/sounds/9.mp3\t\n"
        "3\tStillImage\timage/jpeg\thttps://inaturalist-open-data.s3.amazonaws.com/photos/14/original.jpg\t\n",
    )
    for path in (media, root / "occurrence.txt"):
        listing = list_images(path)
        assert [(e.path, e.class_name, e.group) for e in listing.entries] == [
            ("photos/11/original.jpg", "Lycaena phlaeas", "1"),
            ("photos/12/original.jpg", "Lycaena phlaeas", "1"),
            ("photos/13/original.jpg", "Pieris rapae", "2"),
        ]
        assert sorted(f.kind for f in listing.findings) == ["moved", "no label", "other file"]
        assert dict(listing.entries[0].more)["eventdate"] == "2024-05-01"
        by_date = list_images(path, Choices(group_column="eventDate")).entries
        assert [e.group for e in by_date] == ["2024-05-01", "2024-05-01", "2024-05-02"]
    (root / "occurrence.txt").unlink()
    with pytest.raises(
        ValueError, match=r"occurrence\.txt does not lie beside it.*columns: {path: gbifID, label: species}"
    ):
        list_images(media)


def test_the_simple_csv_of_gbif_has_columns_to_name(root):
    for number in (101, 102, 103):
        picture(root / f"{number}.png", number)
    table = "gbifID\tspecies\tscientificName\n101\tA b\tA b L.\n102\tA b\tA b L.\n103\tC d\tC d L.\n"
    path = write(root / "0001.csv", table)
    assert entries(path, columns={"path": "gbifID", "label": "species"}) == [
        ("101.png", "A b"),
        ("102.png", "A b"),
        ("103.png", "C d"),
    ]


def test_what_an_export_leaves_empty_is_told_also_where_its_columns_are_named(root):
    """Many records of GBIF and iNaturalist are known to the genus alone, and nobody can fill that in."""
    for number in (101, 102, 103):
        picture(root / f"{number}.png", number)
    table = (
        "gbifID\tspecies\tscientificName\n101\tA b\tA b L.\n102\t\tA L.\n103\tC d\tC d L.\n\tC d\tC d L.\n"
    )
    path = write(root / "0001.csv", table)
    columns = {"path": "gbifID", "label": "species"}
    assert entries(path, columns=columns) == [("101.png", "A b"), ("103.png", "C d")]
    assert kinds(path, columns=columns) == [("102", "no label"), ("row 5", "no picture")]


def test_an_archive_of_events_and_a_file_of_an_archive_say_what_to_name(root):
    """As archives of surveys are: events with occurrences and media beside one another."""
    archive = root / "dwca"
    part = """<{} rowType="{}"><files><location>{}</location></files><{} index="0"/></{}>"""
    terms = "http://rs.tdwg.org/dwc/terms/"
    content = [
        part.format("core", f"{terms}Event", "event.txt", "id", "core"),
        part.format("extension", f"{terms}Occurrence", "occurrence.txt", "coreid", "extension"),
        part.format(
            "extension", "http://rs.tdwg.org/ac/terms/Multimedia", "multimedia.txt", "coreid", "extension"
        ),
    ]
    write(
        archive / "meta.xml",
        f'<archive xmlns="http://rs.tdwg.org/dwc/text/">{"".join(content)}</archive>',
    )
    write(archive / "occurrence.txt", "id\tscientificName\ne1\tA b")
    with pytest.raises(ValueError, match="is of the type event, not Occurrence"):
        list_images(archive)
    with pytest.raises(ValueError, match=r"occurrence\.txt is a file of an archive.*name its folder"):
        list_images(archive / "occurrence.txt")
    with pytest.raises(ValueError, match=r"mine\.csv lacks the columns path, label"):
        list_images(write(archive / "mine.csv", "file,species\na,b"))


MEDIA = """mediaID,deploymentID,timestamp,filePath,filePublic,fileMediatype
m1,d1,2020-05-30T02:57:37Z,a/1.png,true,image/png
m2,d1,2020-05-30T02:57:40Z,a/2.png,true,image/png
m3,d2,2020-05-31T02:57:40Z,https://agouti.eu/media/b/1.png,true,image/png
m4,d2,2020-05-31T02:58:40Z,b/2.png,true,image/png
m5,d2,2020-05-31T02:59:40Z,b/3.mp4,true,video/mp4
"""
DEPLOYMENTS = "deploymentID,locationName,latitude\nd1,weir,51.0\nd2,pond,50.9\n"
OBSERVED = "observationID,deploymentID,mediaID,observationLevel,observationType,scientificName,sex"
BOXES = ",bboxX,bboxY,bboxWidth,bboxHeight"


def camtrap(folder, observations, header=OBSERVED, description=None, **tables):
    """A package as tdwg/camtrap-dp's example has it, beside the pictures."""
    names = ("deployments", "media", "observations")
    package = {
        "profile": "https://raw.githubusercontent.com/tdwg/camtrap-dp/1.0.2/camtrap-dp-profile.json",
        "resources": [{"name": name, "path": f"{name}.csv", "format": "csv"} for name in names],
    }
    write(folder / "datapackage.json", json.dumps(description or package))
    tables = {"deployments": DEPLOYMENTS, "media": MEDIA, **tables}
    tables["observations"] = "\n".join([header, *observations])
    for name, content in tables.items():
        if content is not None:
            write(folder / f"{name}.csv", content)
    return folder


OF_MEDIA = [
    "o1,d1,,event,animal,Anas platyrhynchos,female",
    "o2,d1,m1,media,animal,Anas platyrhynchos,female",
    "o3,d1,m1,media,animal,Anas platyrhynchos,male",
    "o4,d1,m2,media,blank,,",
    "o5,d2,m3,media,animal,Rattus norvegicus,NA",
    "o6,d2,m4,media,human,NaN,",
    "o7,d2,m5,media,animal,Rattus norvegicus,",
    "o8,d2,m9,media,animal,Rattus norvegicus,",
]


@pytest.mark.parametrize(
    "named", ["", "datapackage.json", "media.csv", "observations.csv", "deployments.csv"]
)
def test_camtrap_dp_is_read_as_a_whole_whichever_file_is_named(root, named):
    listing = list_images(camtrap(root, OF_MEDIA) / named)
    assert [(e.path, e.class_name, e.group) for e in listing.entries] == [
        ("a/1.png", "Anas platyrhynchos", "d1"),
        ("b/1.png", "Rattus norvegicus", "d2"),
    ]
    more = dict(listing.entries[0].more)
    assert (more["locationname"], more["timestamp"], more["sex"]) == (
        "weir",
        "2020-05-30T02:57:37Z",
        "female",
    )
    told = {(finding.path, finding.kind): finding.found for finding in listing.findings}
    assert "1 observations of events" in told.pop(("observations", "event"))
    assert set(told) == {
        ("a/2.png", "blank"),
        ("b/2.png", "no label"),
        ("b/3.mp4", "other file"),
        ("m9", "no picture"),
        (named or root.name, "moved"),
    }


def test_several_species_and_regions_of_camtrap_dp(root):
    both = ["o1,d1,m1,media,animal,Anas,", "o2,d1,m1,media,animal,Rattus,", "o3,d2,m4,media,animal,Rattus,"]
    both.append("o4,d1,m2,media,animal,Anas,")
    camtrap(root, both)
    assert entries(root) == [("a/2.png", "Anas"), ("b/2.png", "Rattus")]
    assert ("a/1.png", "several classes") in kinds(root)
    assert entries(root, group_column="locationName", columns={"label": "observationID"}) == [
        ("a/2.png", "o4"),
        ("b/2.png", "o3"),
    ]
    regions = [
        f"{row},{box}" for row, box in zip(both, ["0,0,.5,1", ".5,0,.5,1", ",,,", "NA,nan,,"], strict=True)
    ]
    camtrap(root, regions, OBSERVED + BOXES)
    listing = list_images(root)
    assert [(e.name, e.class_name, bool(e.box) and e.box.relative) for e in listing.entries] == [
        ("a/1.png#0,0,0.5,1", "Anas", True),
        ("a/1.png#0.5,0,0.5,1", "Rattus", True),
        ("a/2.png", "Anas", False),
        ("b/2.png", "Rattus", False),
    ]
    camtrap(root, [*regions, "o5,d1,m1,media,animal,Vulpes,,,,,"], OBSERVED + BOXES)
    assert len(entries(root)) == 4 and ("a/1.png", "no region") in kinds(root)
    assert entries(root, regions="ignore") == [("a/2.png", "Anas"), ("b/2.png", "Rattus")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observations": OF_MEDIA[:1]}, r"all 1 observations are of events, and none names a picture"),
        ({"media": None}, r"without its table media .*unpack it whole"),
        ({"media": "mediaID,deploymentID\nm1,d1"}, r"media\.csv lacks the columns 'filepath' of Camtrap DP"),
        ({"media": MEDIA + "m1,d2,,b/2.png,true,image/png\n"}, r"different entries with the mediaid 'm1'"),
        ({"description": {"profile": "camtrap-dp", "resources": 3}}, r"is no description of a package"),
        (
            {
                "description": {
                    "profile": "camtrap-dp",
                    "resources": [{"name": "media", "path": "../media.csv"}],
                }
            },
            r"has the table media in '../media.csv', which is no file of its folder",
        ),
        (
            {"header": OBSERVED + BOXES, "observations": ["o1,d1,m1,media,animal,Anas,,0,0,x,1"]},
            r"media m1: its region is not four numbers",
        ),
    ],
)
def test_a_package_that_cannot_be_read_says_what_is_wrong(root, change, message):
    camtrap(root, change.pop("observations", OF_MEDIA), **change)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        list_images(root)
    assert str(root) in str(caught.value)


def test_a_csv_joined_from_camtrap_dp_is_a_table_of_ones_own(root):
    joined = "mediaID,deploymentID,filePath,scientificName\nm1,d1,a/1.png,Anas\nm2,d1,b/1.png,Vulpes"
    columns = {"path": "filePath", "label": "scientificName"}
    assert entries(write(root / "joined.csv", joined), columns=columns) == [
        ("a/1.png", "Anas"),
        ("b/1.png", "Vulpes"),
    ]


def test_predictions_of_speciesnet(root):
    def prediction(file, text, score=0.9, **more):
        return {"filepath": file, "prediction": text, "prediction_score": score, **more}

    lynx = "4f48a1af;mammalia;carnivora;felidae;lynx;rufus;bobcat"
    predictions = [
        prediction("/mnt/card/a/1.png", lynx, country="USA", detections=[{"bbox": [0, 0, 1, 1]}]),
        prediction(
            "a/2.png", "ddf59264;mammalia;cetartiodactyla;cervidae;odocoileus;hemionus;mule deer", 0.4
        ),
        prediction("b/1.png", "f1856211;;;;;;blank"),
        prediction("b/2.png", "b1352069;mammalia;carnivora;felidae;;;felidae family"),
        {"filepath": "c/1.png", "failures": ["CLASSIFIER"]},
    ]
    path = write(root / "predictions.json", json.dumps({"predictions": predictions}))
    assert entries(path) == [("a/1.png", "Lynx rufus"), ("a/2.png", "Odocoileus hemionus")]
    found = {finding.path: finding.found for finding in list_images(path).findings}
    assert "known to the species, only as felidae family" in found["b/2.png"]
    assert "CLASSIFIER" in found["c/1.png"] and "without an animal" in found["b/1.png"]
    sure = write(root / "sure.json", json.dumps({"predictions": [*predictions, prediction("b/2.png", lynx)]}))
    with pytest.raises(ValueError, match="one class with images"):
        entries(sure, min_confidence=0.5)
    with pytest.raises(ValueError, match=r"prediction 1: the prediction is 'lynx'; it needs the seven parts"):
        entries(write(root / "bad.json", json.dumps({"predictions": [prediction("a/1.png", "lynx")]})))


def test_an_archive_of_darwin_core_is_read_by_its_meta_xml(root):
    """As iNaturalist's archive for GBIF: commas and quotes, ids in the first column."""
    archive = root / "dwca"
    for number in (1, 2, 3):
        picture(archive / f"photos/{number}/original.png", number)
    write(
        archive / "meta.xml",
        """<?xml version="1.0" encoding="utf-8"?>
<archive xmlns="http://rs.tdwg.org/dwc/text/" metadata="metadata.eml.xml">
  <core encoding="UTF-8" linesTerminatedBy="\\n" fieldsTerminatedBy="," fieldsEnclosedBy="&quot;" ignoreHeaderLines="1"
        rowType="http://rs.tdwg.org/dwc/terms/Occurrence">
    <files><location>observations.csv</location></files>
    <id index="0"/>
    <field index="1" term="http://rs.tdwg.org/dwc/terms/occurrenceID"/>
    <field index="2" term="http://rs.tdwg.org/dwc/terms/scientificName"/>
  </core>
  <extension encoding="UTF-8" linesTerminatedBy="\\n" fieldsTerminatedBy="," fieldsEnclosedBy="&quot;"
        ignoreHeaderLines="1" rowType="http://rs.gbif.org/terms/1.0/Multimedia">
    <files><location>media.csv</location></files>
    <coreid index="0"/>
    <field index="1" term="http://purl.org/dc/terms/type"/>
    <field index="2" term="http://purl.org/dc/terms/identifier"/>
  </extension>
</archive>""",
    )
    write(
        archive / "observations.csv", 'id,occurrenceID,scientificName\n1,u1,"Apis, mellifera"\n2,u2,Bombus\n'
    )
    address = "https://x.org/photos/{}/original.png"
    media = [
        f"1,StillImage,{address.format(1)}",
        f"1,StillImage,{address.format(2)}",
        f"2,StillImage,{address.format(3)}",
    ]
    write(archive / "media.csv", "\n".join(["id,type,identifier", *media]))
    listing = list_images(archive)
    assert [(e.path, e.class_name, e.group) for e in listing.entries] == [
        ("photos/1/original.png", "Apis, mellifera", "1"),
        ("photos/2/original.png", "Apis, mellifera", "1"),
        ("photos/3/original.png", "Bombus", "2"),
    ]
    (archive / "media.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"meta\.xml names media\.csv, which is not there"):
        list_images(archive)


def test_the_export_of_inaturalist(root):
    picture(root / "photos/5/medium.jpg", 5)
    picture(root / "photos/6/medium.jpg", 6)
    rows = [
        "1,2024-05-01,https://inaturalist-open-data.s3.amazonaws.com/photos/5/medium.jpg,Vespa crabro,Hornet",
        "2,2024-05-01,https://inaturalist-open-data.s3.amazonaws.com/photos/6/medium.jpg,Apis mellifera,Honey bee",
        "3,2024-05-01,,Apis mellifera,Honey bee",
    ]
    path = write(root / "o.csv", "\n".join(["id,observed_on,image_url,scientific_name,common_name", *rows]))
    assert entries(path) == [
        ("photos/5/medium.jpg", "Vespa crabro"),
        ("photos/6/medium.jpg", "Apis mellifera"),
    ]
    assert [e[1] for e in entries(path, columns={"label": "common_name"})] == ["Hornet", "Honey bee"]
    assert ("3", "no picture") in kinds(path)


WILDLIFE = (
    "project_id,deployment_id,image_id,filename,location,is_blank,class,family,genus,species,"
    "common_name,timestamp"
)


def test_wildlife_insights(root):
    def row(number, blank, genus, species, common):
        name = NAMES[number].rpartition("/")[2]
        place = f"gs://bucket/deployment/{NAMES[number]}"
        return f"1,D{number % 2},i{number},{name},{place},{blank},Mammalia,F,{genus},{species},{common},t"

    rows = [
        row(0, 0, "Vulpes", "vulpes", "Red Fox"),
        row(0, 0, "Vulpes", "vulpes", "Red Fox"),
        row(1, 0, "Meles", "meles", "Badger"),
        row(2, 1, "", "", "Blank"),
        row(3, 0, "Canis", "", "Canis Species"),
    ]
    path = write(root / "images.csv", "\n".join([WILDLIFE, *rows]))
    listing = list_images(path)
    found = [(e.path, e.class_name, e.group) for e in listing.entries]
    assert found == [("a/1.png", "Vulpes vulpes", "D0"), ("a/2.png", "Meles meles", "D1")]
    assert sorted(f.kind for f in listing.findings) == ["blank", "moved", "no label", "repeated"]
    assert len(entries(path, columns={"label": "common_name"})) == 4
    two = write(
        root / "images.csv", "\n".join([WILDLIFE, *rows[1:3], row(0, 0, "Sus", "scrofa", "Boar"), *rows[3:]])
    )
    with pytest.raises(
        ValueError, match=r"has one class with images, 'Meles meles'.* Left out: .*several classes"
    ):
        list_images(two)


COCO = {
    "images": [
        {"id": 1, "file_name": "a/1.png", "width": 40, "height": 30, "location": 3},
        {"id": 2, "file_name": "a/2.png", "width": 40, "height": 30, "location": 4},
        {"id": 3, "file_name": "b/1.png", "width": 30, "height": 40, "location": 4},
    ],
    "categories": [{"id": 0, "name": "empty"}, {"id": 7, "name": "fox"}],
}


def test_coco_whole_pictures_and_regions(root):
    whole = [{"id": 1, "image_id": 1, "category_id": 7}, {"id": 2, "image_id": 2, "category_id": 0}]
    path = write(root / "c.json", json.dumps({**COCO, "annotations": whole}))
    listing = list_images(path)
    assert [(e.path, e.class_name, e.group) for e in listing.entries] == [
        ("a/1.png", "fox", "3"),
        ("a/2.png", "empty", "4"),
    ]
    assert kinds(path) == [("b/1.png", "no label")]
    boxes = [
        {"id": 1, "image_id": 1, "category_id": 7, "bbox": [10, 6, 20, 12], "iscrowd": 0},
        {"id": 2, "image_id": 1, "category_id": 0, "bbox": [0, 0, 10, 10]},
        {"id": 3, "image_id": 2, "category_id": 0},
        {"id": 4, "image_id": 2, "category_id": 0, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        {"id": 5, "image_id": 3, "category_id": 7, "bbox": [0, 0, 9, 9]},
    ]
    write(path, json.dumps({**COCO, "annotations": boxes}))
    pixels, found = regions(path)
    assert np.array_equal(pixels["a/1.png#10,6,20,12"].numpy(), cut(root / "a/1.png", 10, 6, 30, 18))
    assert sorted((f.path.split("#")[0], f.kind) for f in found.findings) == [
        ("a/2.png", "crowd"),
        ("a/2.png", "no region"),
        ("b/1.png", "other size"),
    ]
    assert entries(path, regions="ignore") == [("a/2.png", "empty"), ("b/1.png", "fox")]


def test_a_region_with_two_classes_is_left_out(root):
    box = {"image_id": 1, "bbox": [10, 6, 20, 12]}
    boxes = [{**box, "category_id": 7}, {**box, "category_id": 0}, {**box, "category_id": 7, "image_id": 2}]
    boxes += [{"image_id": 2, "bbox": [0, 0, 5, 5], "category_id": 0}]
    path = write(root / "c.json", json.dumps({**COCO, "annotations": boxes}))
    assert entries(path) == [("a/2.png", "empty"), ("a/2.png", "fox")]
    assert ("a/1.png", "several classes") in kinds(path)


def test_capitals_in_the_header_of_an_export_do_not_matter(root):
    rows = "x,2024-05-01,A b,https://h.org/a/1.png\ny,2024-05-01,C d,https://h.org/b/1.png"
    path = write(root / "l.csv", f"ID,Observed_On,Scientific_Name,Image_URL\n{rows}")
    assert entries(path, columns={"label": "Scientific_NAME"}) == [("a/1.png", "A b"), ("b/1.png", "C d")]
    assert [e.group for e in list_images(path, Choices(group_column="Id")).entries] == ["x", "y"]


def test_coco_pictures_lie_where_its_folders_have_them(root):
    document = {**COCO, "annotations": [{"image_id": 1, "category_id": 7}, {"image_id": 2, "category_id": 0}]}
    path = write(root / "coco/annotations/c.json", json.dumps(document))
    for name in ("a/1.png", "a/2.png"):
        picture(root / "coco/images" / name)
    assert [entry[0] for entry in entries(path)] == ["../images/a/1.png", "../images/a/2.png"]


MEGADETECTOR = {
    "info": {"format_version": "1.3", "detector_metadata": {"typical_detection_threshold": 0.2}},
    "detection_categories": {"1": "animal", "2": "person"},
    "classification_categories": {"0": "fox", "1": "elk"},
    "images": [
        {
            "file": "a\\1.png",
            "detections": [
                {
                    "category": "1",
                    "conf": 0.9,
                    "bbox": [0.25, 0.2, 0.5, 0.4],
                    "classifications": [["1", 0.8], ["0", 0.1]],
                },
                {"category": "1", "conf": 0.1, "bbox": [0, 0, 1, 1], "classifications": [["0", 0.8]]},
            ],
        },
        {
            "file": "b/1.png",
            "detections": [
                {"category": "1", "conf": 0.5, "bbox": [0, 0, 1, 1], "classifications": [["0", 0.8]]}
            ],
        },
        {"file": "b/2.png", "detections": []},
        {"file": "a/2.png", "failure": "Failure image access", "detections": None},
    ],
}


def test_megadetector_with_a_classifier(root):
    path = write(root / "md.json", json.dumps(MEGADETECTOR))
    pixels, found = regions(path)
    assert dict(zip(found.index["path"], found.index["class_name"], strict=True)) == {
        "a/1.png#0.25,0.2,0.5,0.4": "elk",
        "b/1.png#0,0,1,1": "fox",
    }
    assert np.array_equal(pixels["a/1.png#0.25,0.2,0.5,0.4"].numpy(), cut(root / "a/1.png", 10, 6, 30, 18))
    assert sorted((f.path, f.kind) for f in found.findings) == [("a/2.png", "no label"), ("b/2.png", "blank")]
    assert len(entries(path, min_confidence=0.05)) == 3
    without = {**MEGADETECTOR, "info": {}}
    with pytest.raises(ValueError, match=r"say so by data\.image_folder\.min_confidence, such as 0\.2"):
        list_images(write(path, json.dumps(without)))


def label_studio(image, *results, cancelled=False):
    return {
        "id": 1,
        "data": {"image": image, "site": "S"},
        "annotations": [{"was_cancelled": cancelled, "result": list(each)} for each in results],
        "predictions": [],
    }


def choice(name, control="class"):
    return {"from_name": control, "to_name": "i", "type": "choices", "value": {"choices": [name]}}


def rectangle(name, x, y, width, height, rotation=0):
    value = {
        "x": x,
        "y": y,
        "width": width,
        "height": height,
        "rotation": rotation,
        "rectanglelabels": [name],
    }
    return {
        "from_name": "box",
        "to_name": "i",
        "type": "rectanglelabels",
        "original_width": 40,
        "value": value,
    }


def test_label_studio_choices_and_rectangles(root):
    picture(root / "c.png", 9)
    tasks = [
        label_studio("/data/upload/1/0a1b2c3d-c.png", [choice("moth")]),
        label_studio("/data/local-files/?d=b/1.png", [choice("bee")], [choice("bee")]),
        label_studio("s3://bucket/a/1.png", [choice("bee")], [choice("moth")]),
        label_studio("a/2.png", [choice("moth")], cancelled=True),
    ]
    path = write(root / "ls.json", json.dumps(tasks))
    assert entries(path) == [("b/1.png", "bee"), ("c.png", "moth")]
    found = dict(kinds(path))
    assert found["s3://bucket/a/1.png"] == "several classes" and found["a/2.png"] == "no label"
    boxes = [
        label_studio("a/1.png", [rectangle("moth", 25, 20, 50, 40), rectangle("bee", 0, 0, 50, 50)]),
        label_studio("a/2.png", [rectangle("moth", 0, 0, 50, 50, rotation=12)]),
        label_studio("b/1.png", [rectangle("bee", 0, 0, 100, 100)], [rectangle("bee", 0, 0, 90, 90)]),
    ]
    pixels, found = regions(write(path, json.dumps(boxes)))
    assert np.array_equal(pixels["a/1.png#0.25,0.2,0.5,0.4"].numpy(), cut(root / "a/1.png", 10, 6, 30, 18))
    assert [(f.path, f.kind) for f in found.findings] == [
        ("a/2.png", "turned region"),
        ("b/1.png", "label conflict"),
    ]
    both = [label_studio("a/1.png", [choice("moth"), rectangle("bee", 0, 0, 9, 9)])]
    with pytest.raises(ValueError, match=r"may be any of 'box', 'class'; say which by .*columns: {label: …}"):
        list_images(write(path, json.dumps(both)))


def cvat(*images):
    return f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>{"".join(images)}</annotations>'


@pytest.mark.parametrize(
    "encoding", ["macintosh", "windows-1252", "utf-16", "utf-16-le", "unicode_escape", "hex"]
)
def test_xml_is_read_in_the_encoding_that_it_says(root, encoding):
    picture(root / "1.png")
    picture(root / "2.png", 2)
    tag = '<image name="{}"><tag label="{}"/></image>'
    text = cvat(tag.format("1.png", "Käfer"), tag.format("2.png", "Ölkäfer")).replace("utf-8", encoding)
    known = encoding not in ("unicode_escape", "hex")
    path = write(root / "annotations.xml", text.encode(encoding if known else "cp1252"))
    assert [entry.class_name for entry in list_images(path).entries] == ["Käfer", "Ölkäfer"]
    assert ("annotations.xml", "encoding") not in kinds(path) or not known


def test_cvat_tags_and_boxes(root):
    tag = '<image id="{}" name="{}" subset="{}" width="40" height="30"><tag label="{}" source="manual"/></image>'
    path = write(
        root / "annotations.xml",
        cvat(
            tag.format(0, "1.png", "Train", "moth"),
            tag.format(1, "2.png", "Test", "moth"),
            tag.format(2, "3.png", "Train", "bee"),
        ),
    )
    for name in ("1.png", "2.png", "3.png"):
        picture(root / "images" / name, int(name[0]))
    assert [(e.path, e.class_name, e.subset) for e in list_images(path).entries] == [
        ("images/1.png", "moth", "train"),
        ("images/2.png", "moth", "test"),
        ("images/3.png", "bee", "train"),
    ]
    box = '<box label="{}" xtl="10.0" ytl="6.0" xbr="30.0" ybr="18.0" {}><attribute name="sex">f</attribute></box>'
    image = '<image id="{}" name="{}" width="40" height="30">{}</image>'
    boxes = [
        image.format(0, "a/1.png", box.format("moth", "") + '<polygon label="moth" points="1,1;2,2"/>'),
        image.format(1, "a/2.png", box.format("bee", 'rotation="30.5"')),
        image.format(2, "b/1.png", box.format("bee", "")),
        image.format(3, "b/2.png", ""),
    ]
    pixels, found = regions(write(path, cvat(*boxes)))
    assert np.array_equal(pixels["a/1.png#10,6,20,12"].numpy(), cut(root / "a/1.png", 10, 6, 30, 18))
    assert [(f.path, f.kind) for f in found.findings] == [
        ("a/1.png", "other shape"),
        ("a/2.png", "turned region"),
        ("b/2.png", "no region"),
    ]
    with pytest.raises(
        ValueError, match=r"has 1 boxes and 1 tags; say which are the classes by .*{label: box}"
    ):
        list_images(write(path, cvat(boxes[2], tag.format(0, "1.png", "", "moth"))))
    with pytest.raises(ValueError, match=r"has tracks of a video; export the task as 'CVAT for images"):
        list_images(write(path, cvat('<track id="0" label="moth"/>')))


@pytest.mark.parametrize(
    ("side", "value"), [("xtl", "1;2"), ("ybr", ""), ("width", "wide"), ("xbr", "1e999")]
)
def test_a_damaged_box_of_cvat_names_the_file_and_the_picture(root, side, value):
    sides = {"xtl": "1", "ytl": "2", "xbr": "9", "ybr": "9", "width": "40", side: value}
    box = " ".join(f'{name}="{number}"' for name, number in sides.items() if name != "width")
    image = (
        f'<image id="7" name="a/1.png" width="{sides["width"]}" height="30"><box label="m" {box}/></image>'
    )
    path = write(root / "annotations.xml", cvat(image))
    with pytest.raises(
        ValueError, match=r"annotations\.xml, image 7 \(a/1\.png\): its region is not four numbers"
    ):
        list_images(path)


@pytest.mark.parametrize(
    "content",
    [
        {**COCO, "annotations": [{"image_id": 1}]},
        {**COCO, "annotations": [{"image_id": 1, "category_id": 99}]},
        {**COCO, "annotations": [{"image_id": 1, "category_id": 7, "bbox": [1, 2, 3]}]},
        {**COCO, "annotations": [{"image_id": 1, "category_id": 7, "bbox": ["a", 2, 3, 4]}]},
        {**COCO, "annotations": [{"image_id": 1, "category_id": 7, "bbox": [float("nan"), 2, 3, 4]}]},
        {**COCO, "annotations": 5},
        {"images": [{"id": 1}], "annotations": [], "categories": []},
        {**MEGADETECTOR, "images": [{"file": "a/1.png", "detections": [{"conf": "high"}]}]},
        {**MEGADETECTOR, "images": 5},
        [label_studio("a/1.png", [{"from_name": "c", "type": "choices"}])],
        [label_studio("a/1.png", [rectangle("x", None, 0, 1, 1)])],
        [label_studio("a/1.png", [rectangle("x", 10**400, 0, 1, 1)])],
        {**COCO, "annotations": [{"image_id": 1, "category_id": 7, "bbox": [10**400, 2, 3, 4]}]},
        [{"data": {"image": 5}, "annotations": []}],
    ],
)
def test_a_damaged_export_gets_one_sentence_that_names_the_file(root, content):
    path = write(root / "export.json", json.dumps(content))
    with pytest.raises(ValueError) as caught:
        list_images(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


# -- what a list may say twice, by another name, or in vain


@pytest.mark.parametrize(
    "names",
    [
        *(
            "x1,y1,x2,y2",
            "x0,y0,x1,y1",
            "left,top,right,bottom",
            "x_min,y_min,x_max,y_max",
            "box_x1,box_y1,box_x2,box_y2",
        ),
        *(
            "x,y,w,h",
            "x,y,width,height",
            "left,top,width,height",
            "roi-x,roi-y,roi-w,roi-h",
            "BBox X,BBox Y,W,H",
        ),
        *("minx,miny,maxx,maxy", "xtl,ytl,xbr,ybr", "Region_Left,Region_Top,Region_Width,Region_Height"),
    ],
)
def test_four_columns_that_may_be_a_region_are_asked_about(root, names):
    rows = ["a/1.png,x,10,6,20,12", "b/1.png,y,0,0,5,5"]
    path = write(root / "l.csv", "\n".join([f"path,label,{names}", *rows]))
    with pytest.raises(ValueError, match="which may be a region") as caught:
        list_images(path)
    said = re.search(r"columns: \{(.*?)\}", str(caught.value))[1]
    columns = dict(part.split(": ") for part in said.split(", "))
    assert list(columns.values()) == names.split(",")
    boxes = [entry.box for entry in list_images(path, Choices(columns)).entries]
    assert tuple(boxes[0][:2]) == (10, 6)
    assert entries(path, regions="ignore") == [("a/1.png", "x"), ("b/1.png", "y")]


@pytest.mark.parametrize(
    "names", ["width,height", "x,y", "lat,lon", "left,right", "x,width,height", "xmas,hat,y,z"]
)
def test_other_numbers_are_no_region(root, names):
    numbers = ",1" * (1 + names.count(","))
    path = write(root / "l.csv", f"path,label,{names}\na/1.png,x{numbers}\nb/1.png,y{numbers}\n")
    assert entries(path) == [("a/1.png", "x"), ("b/1.png", "y")]


@pytest.mark.parametrize(
    ("column", "first", "second"),
    [("split", "train", "test"), ("group", "1", "2"), ("group", "1", ""), ("label", "x", "y")],
)
def test_a_picture_that_a_list_names_twice_and_differently_is_refused(root, column, first, second):
    cells = {"path": "a/1.png", "label": "x", "split": "train", "group": "1"}
    other = cells | {"path": "b/1.png", "label": "y", "split": "test"}
    rows = [cells | {column: first}, other, cells | {column: second}]
    lines = [",".join(cells), *(",".join(row.values()) for row in rows)]
    with pytest.raises(
        ValueError, match=f"row 4: a/1.png stands in row 2 too, as {first!r} and not {second!r}"
    ):
        list_images(write(root / "l.csv", "\n".join(lines)))


def test_groups_that_differ_only_in_case_are_told(root):
    path = write(root / "l.csv", "path,label,group\na/1.png,x,Night 1\nb/1.png,y,night 1\n")
    (found,) = list_images(path).findings
    assert (found.path, found.kind, found.refused) == ("night 1", "case", True)
    assert found.action == "kept as two groups"


def list_of(form: str) -> str:
    """Two pictures of two classes, in one of the forms of lists."""
    whole = [{"image_id": 1, "category_id": 7}, {"image_id": 2, "category_id": 0}]
    tasks = [label_studio(name, [choice(name[0])]) for name in ("a/1.png", "b/1.png")]
    images = (
        f'<image id="{name}" name="{name}"><tag label="{name[0]}"/></image>'
        for name in ("a/1.png", "b/1.png")
    )
    return {
        "table": "path,label\na/1.png,x\nb/1.png,y\n",
        "coco": json.dumps({**COCO, "annotations": whole}),
        "megadetector": json.dumps(MEGADETECTOR),
        "label studio": json.dumps(tasks),
        "cvat": cvat(*images),
        "inaturalist": "image_url,scientific_name,observed_on\na/1.png,x,1\nb/1.png,y,1\n",
    }[form]


@pytest.mark.parametrize("form", ["table", "coco", "megadetector", "label studio", "cvat", "inaturalist"])
@pytest.mark.parametrize(
    "setting", [{"columns": {"split": "set"}}, {"columns": {"xmin": "x"}}, {"min_confidence": 0.5}]
)
def test_a_setting_that_means_nothing_for_a_list_is_refused(root, form, setting):
    path = write(root / "list.txt", list_of(form))
    assert len(entries(path)) == 2
    if form == "megadetector" and "min_confidence" in setting:
        return
    lacking = form == "table" and "columns" in setting
    with pytest.raises(ValueError, match="lacks the columns" if lacking else "means nothing for"):
        list_images(path, Choices(**setting))


@pytest.mark.parametrize(
    ("part", "entry"),
    [
        ("categories", {"id": 7, "name": "wolf"}),
        ("images", {"id": 1, "file_name": "b/2.png", "width": 40, "height": 30, "location": 3}),
    ],
)
def test_an_id_of_coco_that_means_two_things_is_refused(root, part, entry):
    def of(entries_of_part):
        return write(root / "c.json", json.dumps({**json.loads(list_of("coco")), part: entries_of_part}))

    for repeated in COCO[part]:
        assert len(entries(of([*COCO[part], repeated]))) == 2
    with pytest.raises(ValueError, match=f"{part} has different entries with the id {entry['id']}"):
        list_images(of([*COCO[part], entry]))


@pytest.mark.parametrize("name", [None, "", "  "])
@pytest.mark.parametrize("box", [{}, {"bbox": [1, 1, 9, 9]}])
def test_a_category_without_a_name_is_no_class(root, name, box):
    marks = [
        {"image_id": image, "category_id": category, **box} for image, category in ((1, 7), (2, 0), (3, 9))
    ]
    categories = [*COCO["categories"], {"id": 9, "name": name}]
    path = write(root / "c.json", json.dumps({**COCO, "categories": categories, "annotations": marks}))
    assert entries(path) == [("a/1.png", "fox"), ("a/2.png", "empty")]
    assert ("b/1.png", "no label") in kinds(path)


def test_an_occurrence_that_is_listed_twice_and_differently_is_refused(root):
    media = [
        f"{number}\tStillImage\thttps://h.org/{name}" for number, name in ((1, "a/1.png"), (2, "b/1.png"))
    ]
    write(root / "multimedia.txt", "\n".join(["gbifID\ttype\tidentifier", *media]))
    rows = ["gbifID\tspecies\tscientificName", "1\tApis mellifera\tx", "2\tVespa crabro\tx"]
    path = write(root / "occurrence.txt", "\n".join(rows))
    assert len(entries(path)) == 2
    write(path, "\n".join([*rows, "1\tBombus terrestris\tx"]))
    with pytest.raises(ValueError, match="has different entries with the gbifid '1'"):
        list_images(path)


def test_subsets_of_cvat_are_a_split_or_refused(root):
    def of(*subsets):
        images = (
            f'<image id="{place}" name="{name}" subset="{subset}"><tag label="{name[0]}"/></image>'
            for place, (name, subset) in enumerate(zip(NAMES, subsets, strict=True))
        )
        return [entry.subset for entry in list_images(write(root / "c.xml", cvat(*images))).entries]

    assert of("Train", "Test", "Train", "Test") == ["train", "test", "train", "test"]
    assert of("default", "default", "default", "other") == [""] * 4
    with pytest.raises(ValueError, match="has the subsets 'test', 'train', 'validation'; for a split"):
        of("Train", "Test", "Train", "Validation")
