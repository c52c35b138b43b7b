"""What is wrong with the file of a loss of one's own, read without running it, so that no job fails on it."""

import ast
import importlib.util
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from longtail.config.methods import Custom
from longtail.losses.declarations import Declaration, own_declaration, own_parameters
from longtail.losses.own import search_path
from longtail.settings import PACKAGE, constant, typed, unknown


def wrong_with_own_loss(key: str, loss: Custom) -> Iterator[str]:
    """A sentence for each thing that keeps the class from being built; `key` is that of the entry."""
    where, path, name = f"{key}.loss", loss.loss.path, loss.loss.name
    file = Path(path)
    if not file.exists():
        yield f"{where}.path: {path} does not exist (looked for {os.path.realpath(file)})"
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
            yield from _unknown_facts(f"{where}: {path}, class {name}", own_declaration(path, name))
            taken = own_parameters(tree, name)
            if taken is not None:
                yield from _wrong_parameters(f"{key}.parameters", name, loss.parameters, taken)


def _unknown_facts(where: str, facts: Declaration | None) -> Iterator[str]:
    """A sentence for each view, mixture and need that a class declares and nobody knows."""
    for fact, known in (
        ("needs", constant("losses/base.py", "BESIDE")),
        ("views", constant("training/input.py", "VIEWS")),
        ("mixtures", constant("batches/mixup.py", "KINDS")),
    ):
        for name in getattr(facts, fact, ()):
            if name not in known:
                yield unknown(f"{where}, {fact}: {name!r}", name, known)


def _wrong_parameters(
    where: str, name: str, given: Mapping[str, Any], taken: Mapping[str, tuple[Any, Any]]
) -> Iterator[str]:
    for parameter in given.keys() - taken.keys():
        yield unknown(f"{where}.{parameter}", parameter, taken)
    for parameter, (annotation, default) in taken.items():
        if parameter not in given:
            if default is ...:
                yield f"{where}.{parameter} is missing; {name} needs it"
        elif annotation is not None and (given[parameter] is not None or default is not None):
            try:
                typed(f"{where}.{parameter}", given[parameter], annotation)
            except ValueError as error:
                yield str(error)


def derives_from_module(path: str, name: str) -> bool:
    """Whether a class is derived from PyTorch's `nn.Module` alone, as far as its file tells; then only it knows how it
    weighs its images."""
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):  # told by `wrong_with_own_loss`
        return False
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    bases = [[ast.unparse(base) for base in node.bases] for node in classes]
    return bases in ([["nn.Module"]], [["torch.nn.Module"]], [["Module"]])


def _missing(where: str, file: Path, node: ast.stmt) -> Iterator[str]:
    """What a statement imports that is not there; an import within `try` or a function may have another remedy."""
    folders, modules = search_path(file), []
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and not node.level:
        modules = [node.module or ""]
    elif isinstance(node, ast.ImportFrom):
        folders = [folder.joinpath(*[".."] * (node.level - 1)) for folder in folders[:1]]
        modules = [node.module] if node.module else []
    beside = isinstance(node, ast.ImportFrom) and node.level > 0
    for module in modules:
        if not _is_there(module, folders, beside):
            yield f"{where}: there is no module {module}; install it, or mend the import"


def _is_there(module: str, folders: list[Path], beside: bool) -> bool:
    """Whether a module can be imported, found without importing anything that takes time.

    Args:
        beside: whether it has to lie in one of the folders, as a relative import says.
    """
    first, *rest = module.split(".")
    if first == PACKAGE.name and not beside:
        base = PACKAGE.joinpath(*rest)
        return base.is_dir() or base.with_suffix(".py").is_file()
    if any((folder / first).is_dir() or (folder / f"{first}.py").is_file() for folder in folders):
        return True
    return not beside and importlib.util.find_spec(first) is not None
