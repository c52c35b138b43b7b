"""CVAT for images 1.1: the file annotations.xml, with tags of whole pictures or with boxes.

Source: https://docs.cvat.ai/docs/other/xml_format.
"""

from collections import Counter
from pathlib import Path
from xml.etree.ElementTree import Element

from longtail.data.lists.rows import (
    SUBSETS,
    Choices,
    NamedImages,
    Note,
    Row,
    box_of,
    corners,
    grouped,
    listed,
    whole,
)
from longtail.data.lists.xml import parsed

_SHAPES = ("polygon", "polyline", "points", "ellipse", "mask", "cuboid", "skeleton")


def read(path: Path, text: str, choices: Choices, note: Note) -> NamedImages:
    """Read the pictures; each box is a region, and where there are only tags, pictures are whole.

    Raises:
        ValueError: it is another XML, that of a video, or has boxes and tags.
    """
    choices.check(path, ("label",))
    root = parsed(text, path)
    if root.tag != "annotations":
        raise ValueError(
            f"{path} is XML with the root <{root.tag}>; known are CVAT for images (<annotations>) and, "
            "by its folder, an archive of Darwin Core"
        )
    if root.find("track") is not None:
        raise ValueError(f"{path} has tracks of a video; export the task as 'CVAT for images 1.1'")
    images = root.findall("image")
    counts = Counter(mark.tag for image in images for mark in image)
    what = choices.columns.get("label") or ("box" if counts["box"] else "tag")
    if counts["box"] and counts["tag"] and "label" not in choices.columns:
        raise ValueError(
            f"{path} has {counts['box']} boxes and {counts['tag']} tags; say which are the classes by "
            "data.image_folder.columns: {label: box} or {label: tag}"
        )
    if what not in ("box", "tag"):
        raise ValueError(f"data.image_folder.columns.label is {what!r}; of {path} it is box or tag")
    rows: list[Row] = []
    for image in images:
        rows += _rows_of(path, image, what, choices, note)
    subsets = {row.split for row in rows}
    if others := subsets - {*SUBSETS}:
        if subsets != others:
            raise ValueError(
                f"{path} has the subsets {listed(subsets)}; for a split, every image is in one of "
                f"{', '.join(SUBSETS)}. Mend the others, or call none so"
            )
        rows = [row._replace(split="") for row in rows]
    return grouped(rows, choices, "", path)


def _rows_of(path: Path, image: Element, what: str, choices: Choices, note: Note) -> list[Row]:
    name = image.get("name", "")
    place = f"image {image.get('id', name)}"
    row = Row(place, (name, f"images/{name}"), "", image.get("subset", "").lower(), more=dict(image.attrib))
    for shape in sorted({mark.tag for mark in image} & set(_SHAPES)):
        note(name, "other shape", f"has shapes of the kind {shape}, which are not read, in {place}")
    marks = image.findall(what)
    if what == "tag" or choices.regions == "ignore":
        return whole(row, [mark.get("label", "") for mark in marks], note)
    rows = []
    for mark in marks:
        if float(turned := mark.get("rotation") or 0) % 360:
            note(name, "turned region", f"has a box that is turned by {turned} degrees, in {place}")
            continue
        sides = [mark.get(side, "nothing") for side in ("xtl", "ytl", "xbr", "ybr")]
        of = image.get("width"), image.get("height")
        box = corners(box_of(sides, f"{path}, {place} ({name})", of=of))
        own = {attribute.get("name", ""): attribute.text or "" for attribute in mark.findall("attribute")}
        rows.append(row._replace(label=mark.get("label", ""), box=box, more={**row.more, **own}))
    if not marks:
        note(name, "no region", f"a picture without a box, in {place}")
    return rows
