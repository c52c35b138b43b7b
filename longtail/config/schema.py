"""The JSON schema of the configuration, for editors: `python -m longtail.config.schema` writes config/schema.json."""

import json
import sys
from pathlib import Path

from longtail.settings import Section

# The docstrings of settings are read when a section is defined, so this comes before the sections. Nothing else needs
# them, and reading them would slow every plan down.
Section.model_config["use_attribute_docstrings"] = True

from longtail.config.load import Config  # noqa: E402
from longtail.config.methods import METHODS, Custom, Loss, loss_section  # noqa: E402
from longtail.losses import known_losses  # noqa: E402

FILE = Path(__file__).parents[2] / "config" / "schema.json"


def schema() -> str:
    """The schema as text. Entries of `losses` are known by the loss that they name or are named after."""
    document = Config.model_json_schema()
    document["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    sections: dict[str, type[Loss]] = {
        name: found for name in known_losses() if (found := loss_section(name))
    }
    classes: list[type[Loss]] = [*sections.values(), Custom]
    for section in classes:
        definition = section.model_json_schema(ref_template="#/$defs/{model}")
        document["$defs"].update(definition.pop("$defs", {}))
        document["$defs"][section.__name__] = definition
        kind = definition["properties"]["loss"]
        if name := kind.pop("const", None):  # or a name that stands for this loss with other settings
            kind["enum"] = [name, *(method for method, entry in METHODS.items() if entry["loss"] == name)]
    sections |= {name: sections[method["loss"]] for name, method in METHODS.items()}
    entries = {name: {"$ref": f"#/$defs/{section.__name__}"} for name, section in sections.items()}
    document["properties"]["losses"] = {
        "type": "object",
        "properties": entries,
        "additionalProperties": {"anyOf": [*entries.values(), {"$ref": "#/$defs/Custom"}]},
    }
    for name in ("models", "losses", "variants"):
        document["properties"][name]["type"] = ["object", "null"]
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    path = Path(sys.argv[1]) if sys.argv[1:] else FILE
    path.write_text(schema(), encoding="utf-8")
    print(f"{path} is current")
