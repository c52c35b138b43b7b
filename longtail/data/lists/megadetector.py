"""The json of MegaDetector, with the classes of a classifier such as SpeciesNet where it has them.

Source: https://lila.science/megadetector-output-format (boxes are x, y, width and height in shares of the picture).
"""

from pathlib import Path
from typing import Any

from longtail.data.lists.rows import Choices, NamedImages, Note, Row, box_of, grouped, text_fields, whole

_THRESHOLD = "typical_detection_threshold"


def is_meant(content: Any) -> bool:
    """Whether json is of this form."""
    return isinstance(content, dict) and {"images", "detection_categories"} <= set(content)


def read(path: Path, content: dict[str, Any], choices: Choices, note: Note) -> NamedImages:
    """Read the detections that are at least as confident as the file recommends. A class is the classifier's first one.

    Raises:
        ValueError: neither the file nor the user says which confidence suffices.
    """
    choices.check(path, confidence=True)
    least = choices.min_confidence
    if least is None:
        least = (content.get("info", {}).get("detector_metadata") or {}).get(_THRESHOLD)
    if least is None:
        raise ValueError(
            f"{path} does not say from which confidence on a detection counts ({_THRESHOLD}); say so by "
            "data.image_folder.min_confidence, such as 0.2"
        )
    detected, classified = content["detection_categories"], content.get("classification_categories") or {}
    rows: list[Row] = []
    for number, image in enumerate(content["images"], start=1):
        name, place = str(image["file"]), f"image {number}"
        if image.get("failure") or image.get("detections") is None:
            reason = image.get("failure") or "no reason given"
            note(name, "no label", f"was not read by the detector ({reason})")
            continue
        if "frame_rate" in image:
            note(name, "other file", f"is a video, in {place}")
            continue
        sure = [each for each in image["detections"] if each["conf"] >= least]
        row = Row(place, (name,), "", more=text_fields(image, ("file",)))
        if not sure:
            note(name, "blank", f"has no detection of a confidence of {least} or more, in {place}")
            continue
        if choices.regions == "ignore":
            rows += whole(row, [_label(each, detected, classified) for each in sure], note)
            continue
        for each in sure:
            label = _label(each, detected, classified)
            if not label:
                note(name, "no label", f"has a detection without a class, in {place}")
                continue
            box = box_of(each["bbox"], f"{path}, {place}", relative=True)
            more = {**row.more, "confidence": str(each["conf"])}
            rows.append(row._replace(label=label, box=box, more=more))
    return grouped(rows, choices, "", path)


def _label(detection: dict[str, Any], detected: dict[str, str], classified: dict[str, str]) -> str:
    """The class of the classifier, or where there is no classifier that of the detector; "" where it has none."""
    if classified:
        first = (detection.get("classifications") or [[""]])[0]
        return str(classified.get(str(first[0]), ""))
    return str(detected.get(str(detection["category"]), ""))
