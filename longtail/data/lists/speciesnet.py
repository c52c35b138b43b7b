"""The json of SpeciesNet, the classifier of Wildlife Insights: one prediction for each whole picture.

Source: google/cameratrapai, README.md, "Output format from run_model"; a prediction is its id, class, order, family,
genus, species and common name, separated by semicolons.
"""

from pathlib import Path
from typing import Any

from longtail.data.lists.rows import Choices, NamedImages, Note, Row, grouped, text_fields


def is_meant(content: Any) -> bool:
    """Whether json is of this form."""
    return (
        isinstance(content, dict)
        and isinstance(content.get("predictions"), list)
        and any(isinstance(each, dict) and "filepath" in each for each in content["predictions"])
    )


def read(path: Path, content: dict[str, Any], choices: Choices, note: Note) -> NamedImages:
    """Read the predictions: genus and species are the label, and what is not known to the species is left out.

    With `min_confidence`, a prediction of a smaller score is left out too.
    """
    choices.check(path, confidence=True)
    rows = []
    for number, each in enumerate(content["predictions"], start=1):
        name, place = str(each["filepath"]), f"prediction {number}"
        if "prediction" not in each:
            failed = ", ".join(map(str, each.get("failures") or ())) or "no reason given"
            note(name, "no label", f"has no prediction ({failed}), in {place}")
            continue
        parts = [part.strip() for part in str(each["prediction"]).split(";")]
        if len(parts) != 7:
            raise ValueError(
                f"{path}, {place}: the prediction is {each['prediction']!r:.100}; it needs the seven parts that "
                "SpeciesNet writes, separated by semicolons"
            )
        *_, genus, species, common = parts
        if common == "blank":
            note(name, "blank", f"a picture without an animal, in {place}")
        elif not genus or not species:
            note(name, "no label", f"is not known to the species, only as {common or 'nothing'}, in {place}")
        elif choices.min_confidence and float(each["prediction_score"]) < choices.min_confidence:
            score = float(each["prediction_score"])
            note(name, "no label", f"is {common or species} with a score of {score:g} only, in {place}")
        else:
            label = f"{genus.capitalize()} {species}"
            rows.append(Row(place, (name,), label, more=text_fields(each, ("filepath",))))
    return grouped(rows, choices, "", path)
