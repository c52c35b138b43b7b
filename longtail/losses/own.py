"""A loss of one's own: where the modules that its file imports are found, and how the file is loaded.

The file may import what lies beside it, in packages beside it too, and with relative imports, wherever it lies and
whatever the working directory is. The key of a run looks in the same places (`longtail.experiment.fingerprint`).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from longtail.settings import PACKAGE, unknown

if TYPE_CHECKING:
    from torch import nn

PREFIX = "longtail_own_loss_"
"""What the package of such a loss is called, followed by a hash of its folder."""
_LAST: list[tuple[list[Path], set[str]]] = []
"""Where the loss that was loaded last looks for modules; and which modules and folders Python had before."""


def search_path(path: str | Path) -> list[Path]:
    """The folders in which the imports of a loss are looked up first, absolute: its own, and that around its packages.

    Of a link, the folder that it leads to counts as well.
    """
    path = Path(path)
    own = [file.parent for file in (path.absolute(), Path(os.path.realpath(path)))]
    return list(dict.fromkeys([*own, *map(around_packages, own)]))


def around_packages(folder: Path) -> Path:
    """The nearest folder that is no package, so that its packages can be imported from it."""
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


def own_class(spec: Mapping[str, str]) -> type[nn.Module]:
    """The class in the file of a loss of one's own. The file is executed anew.

    Args:
        spec: `path`, relative to the working directory unless absolute, and `name`.

    Raises:
        ValueError: other entries; a file that is no Python or has no such class.
        FileNotFoundError: the file does not exist.
    """
    from torch import nn

    if set(spec) != {"path", "name"}:
        raise ValueError(
            f"a loss of your own is given as path and name; found {', '.join(map(str, spec)) or 'nothing'}"
        )
    path = Path(spec["path"])
    if not path.is_file():
        raise FileNotFoundError(f"loss file {path} does not exist (looked for {os.path.realpath(path)})")
    module = _load(path)
    known = [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == module.__name__
    ]
    if spec["name"] not in known:
        what = f"{path}: the loss {spec['name']!r}, a subclass of torch.nn.Module,"
        raise ValueError(unknown(what, spec["name"], known))
    cls: type[nn.Module] = getattr(module, spec["name"])
    if inspect.isabstract(cls):
        raise ValueError(
            f"{path}: {spec['name']} derives from Loss and has to define per_sample(logits, labels)"
        )
    return cls


def _load(path: Path) -> ModuleType:
    """Import a file as a module of a package of its own, which relative imports need."""
    top = around_packages(path.absolute().parent)
    package = f"{PREFIX}{hashlib.sha256(bytes(top)).hexdigest()[:8]}"
    _forget_last()
    around = ModuleType(package)
    around.__path__ = [str(top)]
    sys.modules[package] = around
    parent = ".".join([package, *path.absolute().parent.relative_to(top).parts])
    with _importing_from(search_path(path)):
        importlib.import_module(parent)
        spec = importlib.util.spec_from_file_location(f"{parent}.{path.stem.replace('.', '_')}", path)
        if spec is None or spec.loader is None:
            raise ValueError(f"loss file {path} is not a Python file; its name must end in .py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # where dataclasses and torch.compile look a class's module up
        try:
            spec.loader.exec_module(module)
        except SystemExit as error:  # which would end the job as if it had been done
            raise ValueError(f"loss file {path} calls sys.exit while it is imported; remove that") from error
    return module


def _forget_last() -> None:
    """Forget the modules of the loss that was loaded last: another one may mean other files by the same names."""
    while _LAST:
        folders, before = _LAST.pop()
        sys.path[:] = [word for word in sys.path if word not in map(str, folders) or word in before]
        for name in sys.modules.keys() - before:
            if name.startswith(PREFIX) or _lies_in(folders, name):
                del sys.modules[name]


def _lies_in(folders: list[Path], module: str) -> bool:
    """Whether a module was found in one of these folders: not in an environment there, and none of this project."""
    file = Path(getattr(sys.modules[module], "__file__", None) or "/")
    first = module.partition(".")[0]
    return (
        first != PACKAGE.name
        and "site-packages" not in file.parts
        and any(file.parent == folder or file.is_relative_to(folder / first) for folder in folders)
    )


@contextlib.contextmanager
def _importing_from(folders: list[Path]) -> Iterator[None]:
    """Look in these folders first, as Python does for a program; from then on last, for imports within functions."""
    words = [str(folder) for folder in folders]
    _LAST.append((folders, {*sys.modules, *sys.path}))
    # Compiled files could hide that a file was rewritten. Imports within functions come later, so this is not undone.
    sys.dont_write_bytecode = True
    sys.path[:0] = words
    importlib.invalidate_caches()
    try:
        yield
    finally:
        for word in words:
            with contextlib.suppress(ValueError):  # the file has changed the path itself
                sys.path.remove(word)
        sys.path += [word for word in words if word not in sys.path]
