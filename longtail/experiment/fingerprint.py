"""A hash of the code that a job runs. Only a change of behaviour changes it.

The import closure of a program is worked out from its source, without running it: the program, every module
of this project that it imports (anywhere in the file), and what those import. Of each file the syntax tree is
hashed, without docstrings, so comments, formatting, touching and checking out anew change nothing. Choices
made at run time by name (one loss among many) cannot be seen in the source, so the caller names them.

Of a loss of one's own the closure goes on into every module that is no installed package, wherever it lies. What is
installed (site-packages) and the data files that code opens are not seen.
"""

import ast
import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any, NamedTuple

from longtail.experiment.contents import remembered
from longtail.losses.own import around_packages, search_path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "longtail"
ENDINGS = (".py", *EXTENSION_SUFFIXES)
READ_BEFORE = Path(__file__).parent / "__pycache__" / "fingerprints.json"
"""What earlier processes found in files of the same bytes: a plan and every job on a cluster read a hundred."""


@cache
def fingerprint(program: str, *choices: str) -> str:
    """Hash of the code that `program` runs when it makes these `choices`.

    Args:
        program: path of a Python file, relative to the repository's root.
        choices: modules (`longtail.losses.focal`) that it loads by name, or files of losses of one's own, relative to
            the working directory.

    Raises:
        FileNotFoundError: the program or a choice does not exist.
        ValueError: one of the files does not parse.
    """
    digest = hashlib.sha256()
    for name, tree in trees(program, *choices):
        digest.update(f"{name} {tree}\n".encode())
    return digest.hexdigest()[:16]


@cache
def trees(program: str, *choices: str) -> tuple[tuple[str, str], ...]:
    """The files that `fingerprint` hashes, sorted: the name of each in the hash, and the hash of its syntax tree."""
    return tuple(sorted((found.shown, _parse(found.path).tree) for found in _closure(program, *choices)))


class Found(NamedTuple):
    """A file of the closure."""

    path: Path
    shown: str
    """Its name in the hash: from the folder that imports start at, so that no folder above it counts."""
    folders: tuple[Path, ...] = ()
    """Where its imports are looked up; those of this package come from its folder alone."""
    own: bool = False
    """Whether it belongs to a loss of one's own."""


def closure(program: str, *choices: str) -> list[Path]:
    """The files that `program` reaches when it makes these choices, sorted."""
    return sorted(found.path for found in _closure(program, *choices))


def _closure(program: str, *choices: str) -> list[Found]:
    path = ROOT / program
    # Python finds first what lies beside a program that it runs.
    waiting = [Found(path, program, () if path.is_relative_to(ROOT / PACKAGE) else (path.parent,))]
    for choice in choices:
        if choice.endswith(".py"):
            own = Found(Path(choice).absolute(), Path(choice).name, (*search_path(choice), ROOT), own=True)
            waiting += [own, *_imported(own, (1, "")), *_imported(own, (1, own.path.stem))]
        else:
            waiting += _of_package(choice, required=True)
    found: dict[Path, Found] = {}
    while waiting:
        one = waiting.pop()
        if one.path not in found:
            found[one.path] = one
            waiting += _reached(one)
    return list(found.values())


@cache
def _reached(by: Found) -> list[Found]:
    """The files that the imports of a file may run, each once; dozens of closures go through the same hundred files."""
    files = [found for imported in _parse(by.path).imports for found in _imported(by, imported)]
    return list(dict.fromkeys(reversed(files)))[::-1]  # the last one is looked at first


def _imported(by: Found, imported: tuple[int, str]) -> Iterator[Found]:
    """The files that an import may run, itself and the packages above it."""
    level, module = imported
    parts = tuple(module.split(".")) if module else ()
    if level:
        folder = by.path.parents[level - 1]
        top = around_packages(folder)
        inner = folder.relative_to(top).parts
        yield from (by._replace(path=path, shown=shown) for path, shown in _files(top, inner + parts))
    elif parts[0] == PACKAGE:
        yield from _of_package(module)
    else:
        for folder in (*by.folders, *(_elsewhere(parts[0]) if by.own else ())):
            yield from (by._replace(path=path, shown=shown) for path, shown in _files(folder, parts))


@cache
def _files(folder: Path, parts: tuple[str, ...]) -> list[tuple[Path, str]]:
    """The files of a module and of the packages above it that lie there, each with its path in the folder.

    Of several files of one name, Python would take one; here all count.
    """
    found = []
    for depth in range(1, len(parts) + 1):
        name = "/".join(parts[:depth])
        shown = [f"{name}{middle}{ending}" for ending in ENDINGS for middle in ("", "/__init__")]
        found += [(folder / each, each) for each in shown if (folder / each).is_file()]
    return found


@cache
def _elsewhere(module: str) -> list[Path]:
    """The folder on Python's path that has a module, unless it is of Python or of an installed package."""
    try:
        if module in sys.stdlib_module_names or not (spec := importlib.util.find_spec(module)):
            return []
    except (ImportError, ValueError, AttributeError):  # a module that is half there; the job will say so
        return []
    places = [Path(place) for place in [spec.origin, *(spec.submodule_search_locations or ())] if place]
    installed = {Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib", "stdlib")}
    folders = [place.parent if place.stem != "__init__" else place.parents[1] for place in places]
    return [
        folder
        for folder in dict.fromkeys(folders)
        if folder.is_absolute()
        and "site-packages" not in folder.parts
        and not any(folder.is_relative_to(each) for each in installed)
    ]


@cache
def _of_package(module: str, required: bool = False) -> tuple[Found, ...]:
    """The module's file and the `__init__.py` of every package above it.

    Raises:
        FileNotFoundError: it is required, and there is none.
    """
    above = module.rpartition(".")[0]
    if not above:  # the package's own __init__.py only lends names to notebooks
        return ()
    base = module.replace(".", "/")
    candidates = [Found(ROOT / name, name) for name in (f"{base}/__init__.py", f"{base}.py")]
    existing = [found for found in candidates if found.path.is_file()]
    if not existing and required:
        raise FileNotFoundError(f"{candidates[1].path} does not exist, but a job is declared to run {module}")
    return (*_of_package(above, required), *existing)


class _Source(NamedTuple):
    """What a file holds."""

    tree: str
    """The hash of its syntax tree."""
    imports: tuple[tuple[int, str], ...]
    """The modules that it may import, each with the number of dots before its name."""


@cache
def _parse(path: Path) -> _Source:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist, but a job is declared to run it")
    content = path.read_bytes()
    name = hashlib.sha256(content).hexdigest()
    if path.suffix != ".py":
        return _Source(name, ())
    known = _read_before()
    if name not in known:
        try:
            known[name] = _parsed(content)
        except SyntaxError as error:
            raise ValueError(f"{path}, line {error.lineno or 1}: {error.msg}; mend it") from None
        except (ValueError, RecursionError, MemoryError) as error:
            raise ValueError(f"{path} cannot be read as Python ({error or type(error).__name__})") from None
    return known[name]


def _parsed(content: bytes) -> _Source:
    pieces: list[str] = []
    imports: list[tuple[int, str]] = []
    _dump(ast.parse(content), pieces, imports)
    tree = hashlib.sha256("\n".join(pieces).encode()).hexdigest()
    return _Source(tree, tuple(dict.fromkeys(imports)))


@cache
def _read_before() -> dict[str, _Source]:
    """The results of `_parsed` by the bytes of each file. They are kept for other processes when this one ends."""
    this = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()

    def entry(found: Any) -> _Source:
        tree, imports = found
        return _Source(str(tree), tuple((int(level), str(module)) for level, module in imports))

    return remembered(READ_BEFORE, this, entry)


def _dump(node: ast.AST, pieces: list[str], imports: list[tuple[int, str]]) -> None:
    """Append the syntax tree as text, and its imports, in one walk: a plan reads a hundred files.

    Two trees that differ give other texts. `ast.dump` will not do: what it prints changes with the version of Python,
    which adds fields that are empty. So those are left out; an item of a list that is None stands there.
    """
    pieces.append(f"{type(node).__name__}(")
    _note(node, imports)
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(value, list):
            value = _without_docstrings(value)
        if name in ("kind", "type_comment") or value == [] or (value is None and name != "value"):
            continue
        pieces.append(name)
        if isinstance(value, list):
            pieces.append("[")
            for item in value:
                _dump_value(item, pieces, imports)
            pieces.append("]")
        else:
            _dump_value(value, pieces, imports)
    pieces.append(")")


def _dump_value(value: Any, pieces: list[str], imports: list[tuple[int, str]]) -> None:
    if isinstance(value, ast.AST):
        _dump(value, pieces, imports)
    else:  # decimal digits of a long integer would take Python forever, and it refuses them
        pieces.append(hex(value) if type(value) is int else repr(value))


def _note(node: ast.AST, imports: list[tuple[int, str]]) -> None:
    """Add the modules that a node imports, by a statement or by a call with their name."""
    if isinstance(node, ast.Import):
        imports += [(0, alias.name) for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        above = f"{node.module}." if node.module else ""
        if node.module:
            imports.append((node.level, node.module))
        imports += [
            (node.level, f"{above}{alias.name}") for alias in node.names if alias.name != "*" or not above
        ]
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        name = getattr(node.func, "attr", getattr(node.func, "id", None))
        if name in ("import_module", "__import__") and isinstance(named := node.args[0].value, str):
            imports.append((len(named) - len(named.lstrip(".")), named.lstrip(".")))


def _without_docstrings(body: list[ast.stmt]) -> list[ast.stmt]:
    return [node for node in body if not (isinstance(node, ast.Expr) and _is_text(node.value))]


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
