"""COCO, and COCO Camera Traps: images, annotations and categories in one json.

Source: https://cocodataset.org/#format-data (object detection); agentmorris/MegaDetector,
megadetector/data_management/README.md (COCO Camera Traps).
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

from longtail.data.lists.rows import (
    Choices,
    NamedImages,
    Note,
    Row,
    box_of,
    by_id,
    grouped,
    text_fields,
    whole,
)

_PLACES = ("location",)
"""Fields of an image that say where it was taken, by which pictures are grouped where the user names no other."""


def is_meant(content: Any) -> bool:
    """Whether json is of this form."""
    return isinstance(content, dict) and {"images", "annotations", "categories"} <= set(content)


def read(path: Path, content: dict[str, Any], choices: Choices, note: Note) -> NamedImages:
    """Read the annotations. Where any has a `bbox` (x, y, width, height in pixels), each is a region.

    Raises:
        ValueError: an annotation has a category or an image that is not listed.
    """
    choices.check(path)
    categories = by_id(content["categories"], "id", f"{path}: categories")
    images = by_id(content["images"], "id", f"{path}: images")
    names = {identity: text_fields(category).get("name", "") for identity, category in categories.items()}
    by_image: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for number, annotation in enumerate(content["annotations"], start=1):
        for key, known in (("category_id", categories), ("image_id", images)):
            if annotation[key] not in known:
                raise ValueError(
                    f"{path}, annotation {number}: its {key} is {annotation[key]!r}, which is not listed"
                )
        by_image[annotation["image_id"]].append(annotation)
    crop = choices.regions == "crop" and any(annotation.get("bbox") for annotation in content["annotations"])
    rows: list[Row] = []
    for identity, image in images.items():
        name, own = str(image["file_name"]), by_image[identity]
        paths = name, f"images/{name}", f"../images/{name}"
        row = Row(f"image {identity}", paths, "", more=text_fields(image))
        if not crop:
            rows += whole(row, [names[each["category_id"]] for each in own], note)
            continue
        for each in own:
            label = names[each["category_id"]]
            if not label.strip():
                note(name, "no label", f"has a bbox of a category without a name, in {row.place}")
            elif not each.get("bbox"):
                note(name, "no region", f"is {label!r}, without a bbox, in {row.place}")
            elif each.get("iscrowd"):
                note(name, "crowd", f"has a bbox around several of {label!r}, in {row.place}")
            else:
                of = image.get("width"), image.get("height")
                box = box_of(each["bbox"], f"{path}, {row.place}", of=of)
                more = {**row.more, **text_fields(each, ("image_id", "category_id", "id"))}
                rows.append(row._replace(label=label, box=box, more=more))
        if not own:
            note(name, "no label", f"a picture without an annotation, in {row.place}")
    default = next((name for name in _PLACES if any(name in row.more for row in rows)), "")
    return grouped(rows, choices, default, path)
