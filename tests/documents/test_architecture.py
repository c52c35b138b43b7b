"""docs/architecture.md names every file of the project once, and no other."""

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/architecture.md"
TREES = ("longtail", "workflow", "tools")
LINE = re.compile(r"^    ( *)(\S+)(?: {2,}\S.*)?$")


def named(text: str) -> list[str]:
    """The paths in the trees of the page, folders with a slash; two spaces of indentation are one folder."""
    paths: list[str] = []
    folders: list[str] = []
    for line in text.splitlines():
        if match := LINE.match(line):
            folders[len(match[1]) // 2 :] = [match[2]]
            paths.append("".join(folders))
    return paths


def there() -> set[str]:
    found = {
        path.relative_to(ROOT).as_posix()
        for tree in TREES
        for path in (ROOT / tree).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    # The page-long `__init__.py` of a room is the room, which has a line as a folder.
    files = {name for name in found if not name.endswith("/__init__.py")} | {"longtail/__init__.py"}
    return files | {
        f"{parent}/" for name in found for parent in map(str, Path(name).parents) if parent != "."
    }


def test_every_file_is_named_once_and_no_other():
    listed = Counter(named(PAGE.read_text(encoding="utf-8").partition("## Every file")[2]))
    twice = sorted(name for name, count in listed.items() if count > 1)
    patterns = {name for name in listed if name.endswith("*.py")}
    missing, gone = there() - listed.keys(), listed.keys() - there() - patterns
    found = {name: str(Path(name).with_name("*.py")) for name in missing}
    missing -= {name for name, pattern in found.items() if name.endswith(".py") and pattern in patterns}
    gone |= patterns - set(found.values())
    assert not (missing or gone or twice), (
        f"not named: {sorted(missing)}; not there: {sorted(gone)}; named twice: {twice}"
    )
