"""The pages of the site that are made of what stands elsewhere: settings, interface, gallery and navigation.

docs/conf.py calls this when the site is built. The pages lie in docs/_made, which git does not keep.
"""

import ast
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, get_origin

from pydantic import TypeAdapter

from longtail.files.text import as_code, in_markdown, markdown_table

MADE = "docs/_made"
NAVIGATION = {
    "Begin": ("docs/cheat-sheet", "docs/own-images", "docs/use-a-model", "docs/commands", "docs/report"),
    "Experiments": (
        "docs/methods",
        "docs/cifar100-cpu",
        "docs/published",
        "docs/thesis",
        "docs/results",
        "docs/cluster",
    ),
    "Reference": (
        f"{MADE}/settings",
        "config/README",
        f"{MADE}/interface",
        f"{MADE}/gallery",
        "docs/statistics",
    ),
    "How it is made": (
        "docs/architecture",
        "CONTRIBUTING",
        "docs/reliability",
        "docs/performance",
        "CHANGELOG",
    ),
}
"""The pages by the headings that they stand below; a page that is not named stands below the last."""
ROOMS = ("losses", "models", "models/variants", "batches", "analysis", "analysis/statistics", "inference")
"""The rooms whose docstrings are shown, with those of the modules that users import (`longtail.testing`, …)."""
MODULES = ("longtail", "longtail.testing", "longtail.predict", "longtail.evaluate", "longtail.export")

SENTENCES: dict[str, list[str]] = {}
"""What is said of attributes, by their names, while Sphinx reads them."""


def write(root: Path) -> None:
    """Write the made pages below `root`; one that has not changed is left alone, so that it is not read again."""
    schema = json.loads((root / "config/schema.json").read_text(encoding="utf-8"))
    pages = {"settings": settings_page(schema), "gallery": gallery_page(root)}
    modules = [*MODULES, *(module for room in ROOMS for module in _modules(root, room))]
    pages |= {f"interface/{module}": module_page(module) for module in modules}
    listed = "\n".join(f"interface/{module}" for module in modules)
    pages["interface"] = (
        "# The interface\n\nEvery module that a program of yours may import, by its docstrings.\n\n"
        f"```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n"
    )
    folder = root / MADE
    for name, text in pages.items():
        path = folder / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in folder.rglob("*.md"):
        if str(path.relative_to(folder).with_suffix("")) not in pages:
            path.unlink()


def read(app: Any, name: str, source: list[str]) -> None:
    """Add the navigation to the first page, which is that of the code's host too and has none there."""
    if name != "README":
        return
    left = sorted(app.env.found_docs - {"README", *(page for pages in NAVIGATION.values() for page in pages)})
    pages = dict(NAVIGATION)
    *_, last = pages
    pages[last] = (*pages[last], *(page for page in left if not page.startswith(MADE)))
    for heading, names in pages.items():
        shown = "\n".join(f"/{page}" for page in names if page in app.env.found_docs)
        source[0] += f"\n```{{toctree}}\n:hidden:\n:maxdepth: 2\n:caption: {heading}\n\n{shown}\n```\n"


def read_docstring(app: Any, what: str, name: str, about: Any, options: Any, lines: list[str]) -> None:
    """Read a docstring as what it is, plain text with code in backticks, and no more as reStructuredText."""
    text = re.sub(r"(?<!`)`([^`]+)`(?!`)", lambda code: f"``{' '.join(code[1].split())}``", "\n".join(lines))
    text = re.sub(r"``[^`]+``|[*|]", lambda found: found[0] if found[0][0] == "`" else f"\\{found[0]}", text)
    lines[:] = text.split("\n")
    if what == "attribute":
        SENTENCES[name] = list(lines)


def keep_sentence(app: Any, what: str, name: str, about: Any, options: Any, lines: list[str]) -> None:
    """Put back what is said of an attribute, after Google's form has taken what stands before a colon for a type."""
    lines[:] = SENTENCES.pop(name, lines)


def type_in_words(others: Callable[..., str]) -> Callable[..., str]:
    """What writes a type as text: one with a range as the page of settings does, any other as `others` does."""

    def written(annotation: Any, *args: Any, **options: Any) -> str:
        if get_origin(annotation) is Annotated:
            schema = TypeAdapter(annotation).json_schema()
            return _kind(schema, schema)
        return others(annotation, *args, **options)

    return written


def module_page(module: str) -> str:
    return f"# {in_markdown(module)}\n\n```{{eval-rst}}\n.. automodule:: {module}\n```\n"


def _modules(root: Path, room: str) -> Iterator[str]:
    """The modules of a room that have a name without an underscore and something public in them."""
    for path in sorted((root / "longtail" / room).glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        public = any(
            isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            for node in tree.body
        )
        if public:
            name = f"longtail.{room.replace('/', '.')}"
            yield name if path.stem == "__init__" else f"{name}.{path.stem}"


def gallery_page(root: Path) -> str:
    """Every picture of the pages, with its words, and the page that speaks of it."""
    parts = ["# Gallery", "The pictures of all pages; each leads to the page that says how it was made."]
    for path in [*root.glob("README.md"), *sorted((root / "docs").glob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        heading = re.search("^# (.+)$", text, re.MULTILINE)
        for words, picture in re.findall(r"!\[([^\]]*)\]\((?:docs/)?(figures/[^)]+)\)", text):
            parts.append(f"![{words}](../{picture})")
            place = f"../../{path.relative_to(root)}"
            parts.append(f"{words}: [{heading[1] if heading else path.stem}]({place}).")
    return "\n\n".join(parts) + "\n"


def settings_page(schema: dict[str, Any]) -> str:
    """Every setting of the configuration: its type, its default and what it does."""
    parts = [
        "# All settings",
        "Every setting of a configuration, as config/schema.json has it, which editors read too. How one is "
        "written: [the page about them](../../config/README.md).",
    ]
    sections: dict[str, list[list[str]]] = {}
    told: dict[str, str] = {}
    for name, rule in schema["properties"].items():
        own = _resolved(rule, schema)
        told[name] = rule.get("description") or own.get("description", "")
        sections[name] = list(_rows(name, rule, schema)) or [_row(name, rule, schema)]
    for name, rows in sections.items():
        parts += [f"## {name}", in_markdown(told[name])] if told[name] else [f"## {name}"]
        parts.append("\n".join(markdown_table(["Setting", "Value", "Default", "Meaning"], rows)))
    return "\n\n".join(parts) + "\n"


def _resolved(rule: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The rule itself, or the one that it refers to."""
    for one in (rule, *rule.get("anyOf", ())):
        if "$ref" in one:
            return schema["$defs"][one["$ref"].rpartition("/")[2]]
    return rule


def _rows(above: str, rule: dict[str, Any], schema: dict[str, Any], depth: int = 0) -> Iterator[list[str]]:
    """The settings below one, of whatever depth."""
    own = _resolved(rule, schema)
    for name, below in own.get("properties", {}).items():
        inner = list(_rows(f"{above}.{name}", below, schema, depth + 1)) if depth < 4 else []
        yield from inner or [_row(f"{above}.{name}", below, schema)]
    others = own.get("additionalProperties")
    if isinstance(others, dict):
        yield from _rows(f"{above}.NAME", others, schema, depth + 1)


def _row(name: str, rule: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    default = as_code(json.dumps(rule["default"], ensure_ascii=False)) if "default" in rule else ""
    meaning = " ".join((rule.get("description") or _resolved(rule, schema).get("description", "")).split())
    return [as_code(name), in_markdown(_kind(rule, schema)), default, _prose(meaning)]


def _prose(text: str) -> str:
    """A sentence with code in backticks, as a cell."""
    return text.replace("|", r"\|").replace("<", r"\<")


def _kind(rule: dict[str, Any], schema: dict[str, Any]) -> str:
    """What values a setting takes, in words."""
    if "enum" in rule:
        return ", ".join(map(str, rule["enum"]))
    if "const" in rule:
        return str(rule["const"])
    if choices := rule.get("anyOf") or rule.get("oneOf"):
        return " or ".join(dict.fromkeys(_kind(one, schema) for one in choices))
    if "$ref" in rule:
        return _kind(_resolved(rule, schema), schema)
    kind = rule.get("type", "any")
    if isinstance(kind, list):
        return " or ".join(_kind({**rule, "type": one}, schema) for one in kind)
    if kind == "array":
        return f"list of {_kind(rule.get('items', {}), schema)}"
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {rule[name]}" for name, sign in signs.items() if name in rule]
    return " ".join([{"object": "section", "null": "null"}.get(kind, kind), ", ".join(limits)]).strip()
