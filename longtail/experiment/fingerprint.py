"""A hash of the code that a job runs. Only a change of behaviour changes it.

The import closure of a program is worked out from its source, without running it: the program, every module
of this project that it imports (anywhere in the file), and what those import. Of each file the syntax tree is
hashed, without docstrings, so comments, formatting, touching and checking out anew change nothing. Choices
made at run time by name (one loss among many) cannot be seen in the source, so the caller names them.
"""

import ast
import atexit
import hashlib
import json
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from longtail.files.atomic import atomic_path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "longtail"
READ_BEFORE = Path(__file__).parent / "__pycache__" / "fingerprints.json"
"""What earlier processes found in files of the same bytes: a plan and every job on a cluster read a hundred."""


@cache
def fingerprint(program: str, *choices: str) -> str:
    """Hash of the code that `program` runs when it makes these `choices`.

    Args:
        program: path of a Python file, relative to the repository's root.
        choices: modules (`longtail.losses.focal`) or Python files that it loads by name.

    Raises:
        FileNotFoundError: the program or a choice does not exist.
        SyntaxError: one of the files does not parse.
    """
    digest = hashlib.sha256()
    for path in closure(program, *choices):
        digest.update(_read(path).line)
    return digest.hexdigest()[:16]


def closure(program: str, *choices: str) -> list[Path]:
    """The files of this project that `program` reaches, sorted."""
    found: set[Path] = set()
    waiting = [ROOT / program]
    for choice in choices:
        waiting += [ROOT / choice] if choice.endswith(".py") else _files_of(choice, required=True)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _read(path).imports
    return sorted(found, key=lambda path: path.parts)


class _Source(NamedTuple):
    """What is known of a file."""

    line: bytes
    """Its name and the hash of its syntax tree."""
    imports: tuple[Path, ...]
    """The files of this project that it imports."""


@cache
def _read(path: Path) -> _Source:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist, but a job is declared to run it")
    content = path.read_bytes()
    known, name = _read_before(), hashlib.sha256(content).hexdigest()
    if name not in known:
        known[name] = _parsed(content, path)
    tree, modules = known[name]
    shown = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
    imports = dict.fromkeys(
        file for module in modules for file in (*_files_of(module), *_beside(path, module))
    )
    return _Source(f"{shown} {tree}\n".encode(), tuple(imports))


def _parsed(content: bytes, path: Path) -> tuple[str, list[str]]:
    """The hash of a syntax tree, and the modules that it may import."""
    pieces: list[str] = []
    imports: list[ast.Import | ast.ImportFrom] = []
    _dump(ast.parse(content, filename=str(path)), pieces, imports)
    modules: list[str] = []
    for node in imports:
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        else:
            if node.level:  # relative imports are not used in this project: names say where a thing lives
                raise SyntaxError(f"{path}, line {node.lineno}: write the import with its full name")
            if node.module:
                modules += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return hashlib.sha256("\n".join(pieces).encode()).hexdigest(), modules


@cache
def _read_before() -> dict[str, tuple[str, list[str]]]:
    """The results of `_parsed` by the bytes of each file. They are kept for other processes when this one ends."""
    this = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    try:
        content = json.loads(READ_BEFORE.read_bytes())
        known = content["files"] if content["by"] == this else {}
    except (OSError, ValueError, KeyError, TypeError):
        known = {}  # there is none, or not a whole one: as with Python's own, it is made again
    before = len(known)

    def keep() -> None:
        if len(known) > before:
            # Where nothing can be written, the next process reads all files again.
            with suppress(OSError), atomic_path(READ_BEFORE) as temporary:
                temporary.write_text(json.dumps({"by": this, "files": known}), encoding="utf-8")

    atexit.register(keep)
    return known


def _files_of(module: str, required: bool = False) -> list[Path]:
    """The module's file and the `__init__.py` of every package above it; none for other people's modules."""
    parts = module.split(".")
    if parts[0] != PACKAGE:
        return []
    files = []
    for depth in range(2, len(parts) + 1):  # the package's own __init__.py only lends names to notebooks
        base = ROOT.joinpath(*parts[:depth])
        candidates = [base / "__init__.py", base.with_suffix(".py")]
        existing = [path for path in candidates if path.is_file()]
        if not existing and required:
            raise FileNotFoundError(f"{candidates[1]} does not exist, but a job is declared to run {module}")
        files += existing
    return files


def _beside(path: Path, module: str) -> list[Path]:
    """The file of that name in the same folder, which Python finds first when it runs a program there."""
    file = path.with_name(f"{module}.py")
    return [file] if file.is_file() and not path.is_relative_to(ROOT / PACKAGE) else []


def _dump(node: ast.AST, pieces: list[str], imports: list[ast.Import | ast.ImportFrom]) -> None:
    """Append the syntax tree as text, and its imports, in one walk: a plan reads a hundred files.

    `ast.dump` will not do: what it prints changes with the version of Python.
    """
    pieces.append(type(node).__name__)
    if isinstance(node, ast.Import | ast.ImportFrom):
        imports.append(node)
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(value, list):
            value = _without_docstrings(value)
        for item in value if isinstance(value, list) else (value,):
            if isinstance(item, ast.AST):
                pieces.append(f"({name}")
                _dump(item, pieces, imports)
                pieces.append(")")
            elif item is not None and name not in ("kind", "type_comment"):
                pieces.append(f"{name}={item!r}")


def _without_docstrings(body: list[ast.stmt]) -> list[ast.stmt]:
    return [node for node in body if not (isinstance(node, ast.Expr) and _is_text(node.value))]


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
