"""The sources of images, found from the files of this room, which are read and not imported: planning stays fast."""

import ast
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """The facts about a source that rules and plan need; its file has them as `SOURCE = Source(...)`, in literals."""

    rules: str = "sources.smk"
    """The file of `workflow/rules` that makes the split of this source."""
    split: str = "split"
    """The rule that makes it, and the program of that name."""
    archive: str = ""
    """The name of the archive that its images come from, if there is one. `data.NAME` of the configuration then says
    `urls` and `sha256`, and `load_images(archive, sha256)` reads it; without one, `load_images()` does."""
    natural: bool = False
    """Whether its classes keep the counts they have; if not, counts are given per class."""
    has_images: bool = True
    """Whether there are images; if not, its classes are counted and nothing is trained."""
    collection: bool = False
    """Whether it is a collection of files of the user's, which is looked through and divided."""
    images_rule: str = "images"
    """The rule that makes its images, and the program of that name."""
    classes: int = 0
    """How many classes it has, if that is the same everywhere."""
    images: int = 0
    """How many images there are to divide, if that is the same everywhere."""
    test_images: int = 0
    """How many images its original test set has; 0: there is none."""
    required: str = ""
    """The key of `data.NAME` that has to be set."""
    hint: str = ""
    """What to set it to."""
    title: str = ""
    """What the data set is called in texts; empty for collections and lists of the user's own."""
    paper: str = ""
    """The key of its paper in `longtail/report/references.bib`."""
    hub: str = ""
    """What hubs of models call it."""
    family: str = ""
    """The file that it is in, where that is one of many; `load_images(name, folder, size)` there loads it."""
    size: int = 0
    """Height and width of the images of such a one, in pixels, if all have the same; 0: they are stretched."""


@cache
def known_sources() -> dict[str, Source]:
    """The sources by the names of their files, in alphabetical order, and those that a file has in its `SOURCES`.

    Raises:
        ValueError: a file's `SOURCE` is not a call of `Source` with literals; names the file.
    """
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.Assign):
                continue
            if ast.unparse(node.targets[0]) == "SOURCE":
                found[path.stem] = _described(path, node.value)
            if ast.unparse(node.targets[0]) == "SOURCES" and isinstance(node.value, ast.Dict):
                for name, call in zip(node.value.keys, node.value.values, strict=True):
                    found[ast.literal_eval(name or "")] = replace(_described(path, call), family=path.stem)
    return found


def _described(path: Path, call: ast.expr) -> Source:
    try:
        if not isinstance(call, ast.Call) or ast.unparse(call.func) != "Source" or call.args:
            raise ValueError(f"found {ast.unparse(call)}")
        return Source(**{str(word.arg): ast.literal_eval(word.value) for word in call.keywords})
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: SOURCE must be Source(name=literal, ...): {error}") from None
