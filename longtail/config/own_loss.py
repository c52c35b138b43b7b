"""What is wrong with the file of a loss of one's own, read without running it, so that no job fails on it."""

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from longtail.settings import PACKAGE, unknown


def wrong_with_own_loss(where: str, path: str, name: str) -> Iterator[str]:
    """A sentence for each thing that keeps the class from being built; `where` is the key of the entry's loss."""
    file = Path(path)
    if not file.exists():
        yield f"{where}.path: {path} does not exist (looked for {file.resolve()})"
    elif not file.is_file() or file.suffix != ".py":
        yield f"{where}.path: {path} is no Python file; expected one whose name ends in .py"
    else:
        try:
            tree = ast.parse(file.read_bytes(), filename=path)
        except SyntaxError as error:
            yield f"{where}.path: {path}, line {error.lineno or 1}: {error.msg}; mend it"
        except (ValueError, RecursionError, MemoryError, OSError) as error:
            yield f"{where}.path: {path} cannot be read as Python ({str(error) or type(error).__name__})"
        else:
            classes = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
            if name not in classes:
                yield unknown(f"{where}.name: in {path} the class {name!r}", name, classes)
            for node in tree.body:
                yield from _missing(f"{where}.path: {path}, line {node.lineno}", file, node)


def _missing(where: str, file: Path, node: ast.stmt) -> Iterator[str]:
    """What a statement imports that is not there; an import within `try` or a function may have another remedy."""
    if isinstance(node, ast.ImportFrom) and node.level:
        yield f"{where}: write the import with its full name"
        return
    modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    for module in modules:
        if not _is_there(module, file.parent):
            yield f"{where}: there is no module {module}; install it, or mend the import"


def _is_there(module: str, folder: Path) -> bool:
    """Whether a module can be imported, found without importing anything that takes time."""
    first, *rest = module.split(".")
    if first == PACKAGE.name:
        base = PACKAGE.joinpath(*rest)
        return base.is_dir() or base.with_suffix(".py").is_file()
    beside = folder / first
    return (
        importlib.util.find_spec(first) is not None or beside.is_dir() or beside.with_suffix(".py").is_file()
    )
