"""The house keeps its order: every module lives in a room, and imports go from higher rooms to lower ones only."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "longtail"
DOORS = {"__main__", "evaluate", "export", "plan", "predict", "testing", "watch", "worklist"}
# From the top down. The doors stand above all rooms, and the value types of `settings` below.
ROOMS = (
    *("commands", "inference", "report", "analysis", "experiment", "config", "training", "batches"),
    *("data", "models", "losses", "machine", "files", "settings"),
)
SHORTEST_PAGE = 8
"""Lines of the docstring of a room."""


def modules() -> dict[str, Path]:
    """Every module of the library by its name without `longtail.`, such as `data.split.sets`."""
    found = {}
    for path in sorted(LIBRARY.rglob("*.py")):
        parts = path.relative_to(LIBRARY).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


@cache
def imported(path: Path) -> set[str]:
    """The modules of the library that a file imports, anywhere in it, but for what only its types need."""
    found = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        waiting += (child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr))
    names = {name.removeprefix("longtail.") for name in found if name.startswith("longtail.")}
    return names & set(MODULES)


def room(module: str) -> str:
    return module.split(".")[0]


def test_imports_go_down():
    for module in set(MODULES) - {"", *DOORS}:
        height = ROOMS.index(room(module))
        upward = {
            name for name in imported(MODULES[module]) if name in DOORS or ROOMS.index(room(name)) < height
        }
        assert not upward, f"longtail.{module} imports from rooms above its own: {sorted(upward)}"


def test_no_modules_import_each_other_in_a_circle():
    arrows = {module: imported(path) - {module} for module, path in MODULES.items()}
    while free := {module for module, needed in arrows.items() if not needed}:
        arrows = {module: needed - free for module, needed in arrows.items() if module not in free}
    assert not arrows, f"these modules import each other, or what does: {sorted(arrows)}"


def test_the_root_holds_only_what_a_user_opens():
    found = {path.stem for path in LIBRARY.glob("*.py")} - {"__init__"}
    assert found == DOORS | {"settings"}


def test_every_module_lives_in_a_known_room():
    rooms = {room(name) for name, path in MODULES.items() if "." in name or path.name == "__init__.py"}
    assert rooms - {""} == set(ROOMS) - {"settings"}


def test_a_room_says_what_lives_in_it():
    pages = {name: path for name, path in MODULES.items() if name and path.name == "__init__.py"}
    assert len(pages) >= len(ROOMS) - 1
    for path in pages.values():
        page = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        assert len(page.splitlines()) >= SHORTEST_PAGE, f"{path.parent} needs a page"
