"""Read from the source of the losses' files what they declare, because importing the files would import PyTorch.

The configuration, its schema for editors and `build_loss` all learn here which losses there are and what they take.
"""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from longtail import settings

ROOM = "longtail.losses"


class Declaration(NamedTuple):
    """What the file of a loss says; the facts are attributes of its class, explained in `longtail.losses.base.Loss`."""

    class_name: str
    summary: str
    parameters: dict[str, tuple[Any, Any, str]]
    """Type, default (`...`: none) and what the docstring says under `Args`, by name."""
    source: str
    """What the docstring says after `Source:`, without line breaks; empty where it names none."""
    default_head: str = "linear"
    corrects: str | None = None
    no_mixup: str | None = None
    no_parts: str | None = None
    default_experts: int = 1
    exact_experts: bool = False
    needs: tuple[str, ...] = ()
    views: tuple[str, ...] = ("train",)
    mixtures: tuple[str, ...] = ()


def declarations() -> dict[str, Declaration]:
    """The declarations of all losses by name, in alphabetical order."""
    return {name: found for name, path in _files().items() if (found := _read(path))}


def declaration(name: str) -> Declaration | None:
    """The declaration of one loss; None: there is no file of that name, or it defines no loss.

    Raises:
        ValueError: the file defines several losses, or a parameter is not annotated so that it can be read.
    """
    path = _files().get(name)
    return _read(path) if path else None


def own_parameters(tree: ast.Module, name: str) -> dict[str, tuple[Any, Any]] | None:
    """The parameters of a class in the file of a loss of one's own, after its class counts.

    Returns:
        Type (None: the annotation does not say) and default (`...`: none; None also where it is no literal) by name.
        None where the source does not tell the parameters: `**kwargs`, decorators, or a base class from elsewhere.
    """
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    imported = _imported(tree)
    node = classes.get(name)
    if node is None or node.decorator_list or node.keywords or len(node.bases) != 1:
        return None
    if not all(
        isinstance(item, ast.FunctionDef | ast.AnnAssign | ast.Expr | ast.Pass) or _is_fact(item)
        for item in node.body
    ):
        return None
    functions = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}
    if function := functions.get("__init__"):
        return None if "__new__" in functions else _signature(function, imported)
    base = ast.unparse(node.bases[0])
    if base in classes and classes[base].lineno < node.lineno:
        return own_parameters(tree, base)
    module, original = imported.get(base, ("", ""))
    if (module, original) == (f"{ROOM}.base", "Loss"):
        return {}
    ours = declaration(module.removeprefix(f"{ROOM}.")) if module.startswith(f"{ROOM}.") else None
    if ours is None or ours.class_name != original:
        return None
    return {parameter: facts[:2] for parameter, facts in ours.parameters.items()}


def own_declaration(path: str, name: str) -> Declaration | None:
    """What the class of a loss of one's own declares; None where it is derived from none of ours, or hides it.

    Its parameters are those of `own_parameters`, and so left out here.
    """
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (
        OSError,
        ValueError,
        SyntaxError,
        RecursionError,
        MemoryError,
    ):  # told by `longtail.config.own_loss`
        return None
    facts = _own_facts(tree, name)
    return None if facts is None else Declaration(name, "", {}, "", **facts)


def _own_facts(tree: ast.Module, name: str) -> dict[str, Any] | None:
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    node = classes.get(name)
    if node is None or len(node.bases) != 1:
        return None
    base = ast.unparse(node.bases[0])
    module, original = _imported(tree).get(base, ("", ""))
    if base in classes and classes[base].lineno < node.lineno:
        facts = _own_facts(tree, base)
    elif (module, original) == (f"{ROOM}.base", "Loss"):
        facts = {}
    else:
        ours = declaration(module.removeprefix(f"{ROOM}.")) if module.startswith(f"{ROOM}.") else None
        facts = None if ours is None else {fact: getattr(ours, fact) for fact in Declaration._field_defaults}
    return None if facts is None else facts | _facts(node, literal=False)


def _facts(node: ast.ClassDef, *, literal: bool) -> dict[str, Any]:
    """The facts of a declaration that a class gives; with `literal`, one that is computed is an error, else left out.

    Raises:
        ValueError: a value is no literal.
    """
    found = {}
    for item in node.body:
        if not isinstance(item, ast.Assign | ast.AnnAssign) or item.value is None:
            continue
        for target in item.targets if isinstance(item, ast.Assign) else [item.target]:
            if isinstance(target, ast.Name) and target.id in Declaration._field_defaults:
                try:
                    found[target.id] = ast.literal_eval(item.value)
                except ValueError:
                    if literal:
                        raise
    return found


def _imported(tree: ast.Module) -> dict[str, tuple[str, str]]:
    """Module and name of what `from … import …` gives a file, by the name it has there."""
    return {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and not node.level
        for alias in node.names
    }


def _is_fact(item: ast.stmt) -> bool:
    """Whether a statement in a class gives a value to names that make no instances."""
    return isinstance(item, ast.Assign) and not {"__init__", "__new__"} & set(map(ast.unparse, item.targets))


def _signature(
    function: ast.FunctionDef, imported: dict[str, tuple[str, str]]
) -> dict[str, tuple[Any, Any]] | None:
    arguments = function.args
    if arguments.kwarg or function.decorator_list or len(arguments.posonlyargs) > 2:
        return None
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + arguments.defaults
    pairs = [
        *list(zip(positional, defaults, strict=True))[2:],
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    return {
        argument.arg: (_type(argument.annotation, imported), ... if default is None else _literal(default))
        for argument, default in pairs
    }


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


PLAIN = {"int": int, "float": float, "str": str, "bool": bool, "list": list, "dict": dict, "tuple": tuple}


def _type(node: ast.expr | None, imported: dict[str, tuple[str, str]]) -> Any:
    """The type that an annotation means, where it is a plain one, of `longtail.settings`, or a union of those."""
    match node:
        case ast.Constant(value=None):
            return type(None)
        case ast.Name(id=name) if name in imported:
            module, original = imported[name]
            return getattr(settings, original, None) if module == settings.__name__ else None
        case ast.Name(id=name):
            return PLAIN.get(name)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            sides = _type(left, imported), _type(right, imported)
            return sides[0] | sides[1] if None not in sides else None
    return None


def _files() -> dict[str, Path]:
    """The files of the room by the names of their modules, in alphabetical order."""
    folders = sys.modules[ROOM].__path__
    return _listed(tuple((folder, Path(folder).stat().st_mtime_ns) for folder in folders))


@cache  # Checking a configuration asks for them some hundred times. A new file changes the time of its folder.
def _listed(folders: tuple[tuple[str, int], ...]) -> dict[str, Path]:
    paths = {path.stem: path for folder, _ in reversed(folders) for path in Path(folder).glob("*.py")}
    return {name: paths[name] for name in sorted(paths) if name.isidentifier()}


@cache
def _read(path: Path) -> Declaration | None:
    body = ast.parse(path.read_bytes(), filename=str(path)).body
    bases = {
        alias.name
        for node in body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{ROOM}.")
        for alias in node.names
    }
    classes = [
        node
        for node in body
        if isinstance(node, ast.ClassDef) and bases & {ast.unparse(base) for base in node.bases}
    ]
    if not classes:
        return None
    if len(classes) > 1:
        names = ", ".join(node.name for node in classes)
        raise ValueError(f"{path} defines {names}; one loss per file, so that its name says which")
    (node,) = classes
    document = ast.get_docstring(node) or ""
    parameters = dict(_parameters(path, node, _descriptions(document)))
    source = " ".join(document.partition("\nSource: ")[2].partition("\n\n")[0].split())
    return Declaration(
        node.name, document.partition("\n\n")[0], parameters, source, **_facts(node, literal=True)
    )


def _parameters(
    path: Path, node: ast.ClassDef, descriptions: dict[str, str]
) -> Iterator[tuple[str, tuple[Any, Any, str]]]:
    """The keyword-only arguments of the class's own `__init__`."""
    for function in node.body:
        if isinstance(function, ast.FunctionDef) and function.name == "__init__":
            arguments = function.args
            for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
                annotation = getattr(settings, ast.unparse(argument.annotation or argument), None)
                if annotation is None:
                    raise ValueError(
                        f"{path}, line {argument.lineno}: annotate {argument.arg} with a type of longtail.settings, "
                        "such as NonNegative"
                    )
                value = ... if default is None else ast.literal_eval(default)
                yield argument.arg, (annotation, value, descriptions.get(argument.arg, ""))


def _descriptions(document: str) -> dict[str, str]:
    """The description of each argument in the section `Args` of a docstring, without line breaks."""
    section = document.partition("\nArgs:\n")[2].partition("\n\n")[0]
    found = re.findall(r"^    (\w+): (.*(?:\n        .*)*)", section, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text) for name, text in found}
