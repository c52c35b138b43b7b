"""What code a job runs, as a hash that only a change of behaviour changes.

The import closure of a program is worked out from its source, without running it: the program, every module
of this project that it imports (anywhere in the file), and what those import. Of each file the syntax tree is
hashed, without docstrings, so comments, formatting, touching and checking out anew change nothing. Choices
made at run time by name (one loss among many) are invisible in the source; the caller names them.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "longtail"


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
        name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
        digest.update(f"{name} {_read(path)[0]}\n".encode())
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
            waiting += _read(path)[1]
    return sorted(found)


@cache
def _read(path: Path) -> tuple[str, tuple[Path, ...]]:
    """The hash of a file's syntax tree, and the files of this project that it imports."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist, but a job is declared to run it")
    pieces: list[str] = []
    imports: list[ast.Import | ast.ImportFrom] = []
    _dump(ast.parse(path.read_bytes(), filename=str(path)), pieces, imports)
    files: list[Path] = []
    for node in imports:
        if isinstance(node, ast.Import):
            for alias in node.names:
                files += _files_of(alias.name)
        else:
            if node.level:  # relative imports are not used in this project: names say where a thing lives
                raise SyntaxError(f"{path}, line {node.lineno}: write the import with its full name")
            if node.module:
                files += _files_of(node.module)
                for alias in node.names:
                    files += _files_of(f"{node.module}.{alias.name}")
    return hashlib.sha256("\n".join(pieces).encode()).hexdigest(), tuple(files)


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
