"""The section `data`: where the images come from, how they are split, and how the classes differ in size."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)

from longtail.data.lists.rows import COLUMNS, GROUP_COLUMN
from longtail.data.sources.table import Source, known_sources
from longtail.data.split.classes import compiled, is_expression
from longtail.data.split.sets import CUTS, IMBALANCES, LIMITS, NATURAL, frequency_groups, longtailed_counts
from longtail.settings import (
    Address,
    Count,
    Fraction,
    HalfOpenUnit,
    LocalPath,
    Section,
    Seed,
    Threads,
    constant,
    local_file,
    one_of,
)
from longtail.training.recipe import Where

Resize = Annotated[str, one_of(constant("data/collection/shape.py", "RESIZES"))]
Byte = Annotated[int, Field(ge=0, le=255)]


def _said(text: str) -> str:
    """The text itself; a ValueError where it has nothing to read."""
    if not text.strip():
        raise ValueError(f"found {text!r}; expected a name")
    return text


Label = Annotated[str, AfterValidator(_said)]


Addresses = Address | Annotated[tuple[Address, ...], Field(min_length=1)]


class Archive(Section):
    """Where the archive of a source comes from."""

    url: Addresses
    """Address, `file:` address or path of the archive; several are tried in turn."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Hash of the archive, which is checked before anything in it is opened."""

    @field_validator("url", mode="wrap")
    @classmethod
    def _one_or_several(cls, found: Any, check: ValidatorFunctionWrapHandler) -> Any:
        try:
            return check(found)
        except ValidationError as error:  # one for each of the types
            reasons = [detail for detail in error.errors() if detail["type"] == "value_error"]
            if reasons:
                raise ValueError(str(reasons[0]["ctx"]["error"])) from None
            raise ValueError(f"found {found!r}; expected an address or a path, or a list of them") from None

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses to try, also where there is one."""
        return (self.url,) if isinstance(self.url, str) else self.url


def _official(name: str) -> tuple[str, ...]:
    return tuple(
        f"https://{host}/{name}" for host in ("www.cs.toronto.edu/~kriz", "cave.cs.toronto.edu/kriz")
    )


class Cifar100(Archive):
    """Where `cifar-100-python.tar.gz` comes from."""

    url: Addresses = _official("cifar-100-python.tar.gz")
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] = (
        "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"
    )


class Cifar10(Archive):
    """Where `cifar-10-python.tar.gz` comes from."""

    url: Addresses = _official("cifar-10-python.tar.gz")
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] = (
        "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
    )


def _border(found: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """What fills a border, checked, with one sentence for all that it may be."""
    try:
        return check(found)
    except ValidationError:  # one for each of the types
        raise ValueError(
            f"found {found!r}; expected reflect, or a colour [red, green, blue] of whole numbers from 0 to 255"
        ) from None


Border = Annotated[Literal["reflect"] | tuple[Byte, Byte, Byte] | None, WrapValidator(_border)]


class ImageFolder(Section):
    """A collection of your own. Its class counts are kept: they make its long-tailed training set.

    The balanced training set is cut from that one, with as many images of each class as the smallest class has; the
    balanced test set likewise. The settings of `data` about the size and imbalance of classes mean nothing here.
    """

    path: LocalPath | None = None
    """A folder of class folders, or a list: a table with the columns path, label and optionally split and group, or a
    file of COCO, CVAT, Camtrap DP, GBIF, iNaturalist, Label Studio, MegaDetector, SpeciesNet or Wildlife Insights."""
    root: LocalPath | None = None
    """The folder that the paths of a list are relative to; null: that of the list."""
    columns: dict[Annotated[str, one_of(COLUMNS)], Label] = {}
    """The columns of a list that are called otherwise, such as `{path: file, label: species}`. A region is `x`, `y`,
    `width` and `height`, or `xmin`, `ymin`, `xmax` and `ymax`."""
    group_column: Label = GROUP_COLUMN
    """Column of a list whose equal values (an individual, a trap, a night) stay on one side of the split."""
    regions: Literal["crop", "ignore"] = "crop"
    """Whether the regions that a list gives are cut out, or the whole pictures are taken."""
    min_confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    """The least confidence of what MegaDetector found (null: as its file recommends) or SpeciesNet predicted."""
    size: Annotated[int, Field(ge=8, le=1024)] | None = None
    """Height and width in pixels that images are stored with; null: the largest `image_size` of the training."""
    resize: Resize = "stretch"
    """How a picture becomes a square, in training and wherever the model is used: `stretch` changes its proportions;
    `pad` keeps them, and all of the picture, in the middle of a border; `crop` keeps them, and the square in its
    middle."""
    pad_with: Border = None
    """What fills the border of `resize: pad`: a colour [red, green, blue] from 0 to 255, or the picture, mirrored at
    its edges (`reflect`); null: black."""
    test_fraction: HalfOpenUnit = 0.2
    """Share of the images of each class to test on."""
    val_fraction: HalfOpenUnit = 0.1
    """Share of the images of each class to select the epoch by; at least one image where one can be spared."""
    min_test_per_class: Count = 3
    """The fewest test images of a class. A class that has no more images than this is too small."""
    small_classes: Literal["error", "train_only", "merge"] = "error"
    """What happens to classes that are too small: they are refused, trained on but not tested, or made one class."""
    merged_name: Annotated[Label, Where("small_classes", ("merge",))] = "other"
    """Name of the class that `merge` makes."""
    max_side: Count = 30_000
    """Images with a longer side, in pixels, are left out."""
    min_side: Count = 2
    """Images with a shorter side, in pixels, are left out."""
    near_duplicates: bool = True
    """Keep pictures that look the same on one side of the split, as equal files always are."""
    strict: bool = False
    """Refuse a collection if anything in it would be left out, replaced or merged."""
    threads: Threads | None = None
    """Images decoded at a time; null: one per core. Changes no result."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        wrong = []
        if self.pad_with is not None and self.resize != "pad":
            wrong.append(
                f"data.image_folder.pad_with fills the border of resize: pad, and resize is {self.resize}; set "
                "resize: pad, or pad_with: null"
            )
        if self.min_side > self.max_side:
            wrong.append(
                f"data.image_folder.min_side: {self.min_side} is above max_side, {self.max_side}, so that every image "
                "would be left out; lower it"
            )
        if self.test_fraction + self.val_fraction >= 1:
            wrong.append(
                f"data.image_folder.test_fraction: {self.test_fraction:g}, with val_fraction {self.val_fraction:g}, "
                "leaves no image to train on; lower one of them"
            )
        if wrong:
            raise ValueError("\n".join(wrong))
        return self


class Lists(Section):
    """Published lists of a data set, such as ImageNet-LT's: text files of lines `path label`, or iNaturalist's json.

    The split and the class counts are those of the lists. With `root` there are images too, and with them training.
    """

    train: LocalPath | None = None
    """The list of the training images."""
    val: LocalPath | None = None
    """The list of the validation images."""
    test: LocalPath | None = None
    """The list of the test images."""
    class_names: LocalPath | None = None
    """A file with one class name in a line, in label order; null: classes are called by their labels, or as the json
    calls them."""
    root: LocalPath | None = None
    """The folder of the images, in which the paths of the lists start; null: the classes are counted alone."""
    size: Annotated[int, Field(ge=8, le=1024)] | None = None
    """Height and width in pixels that images are stored with; null: the largest `image_size` of the training."""
    resize: Resize = "crop"
    """How a picture becomes a square, as `data.image_folder.resize` says it."""
    pad_with: Border = None
    """What fills the border of `resize: pad`, as `data.image_folder.pad_with` says it."""
    threads: Threads | None = None
    """Images decoded at a time; null: one per core. Changes no result."""

    @property
    def files(self) -> dict[str, str | None]:
        """The files that are read, by their settings."""
        return {name: getattr(self, name) for name in ("train", "val", "test", "class_names")}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.root is None:
            for name in ("size", "resize", "pad_with", "threads"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(
                        f"data.lists.{name} is for lists with images; set data.lists.root to their folder, or remove it"
                    )
        elif self.train and not self.test:
            raise ValueError(
                "data.lists.test is not set, but data.lists.root is; name the list of the test images (of iNaturalist "
                "2018, val2018.json), or remove root"
            )
        if self.pad_with is not None and self.resize != "pad":
            raise ValueError(
                f"data.lists.pad_with fills the border of resize: pad, and resize is {self.resize}; set resize: pad, "
                "or pad_with: null"
            )
        return self


def _without_groups(section: Any) -> Any:
    """Refuse the settings that stood in the sections of two sources before they held for all."""
    for name in ("groups", "group_limits"):
        if isinstance(section, dict) and name in section:
            raise ValueError(f"{name} holds for every source of images now; set data.{name} in its place")
    return section


class Taxonomy(Section):
    """A table of names and of the higher groups that they belong to."""

    file: LocalPath
    """A csv, of any separator; rows of other classes may be in it."""
    rank: Label
    """Its column of the new name, such as `genus` or `family`."""
    column: Label = "class"
    """Its column of the class."""


class Classes(Section):
    """Which classes of the collection there are, and how they are called. No file is moved or decoded again.

    A class is named as the collection has it, or by a regular expression between slashes that is searched for in the
    name, such as `/ sp\\.$/`. No class may have two rules. Models, tables and predictions have the new names.
    """

    exclude: tuple[Label, ...] = ()
    """Classes that are left out."""
    rename: dict[Label, Label] = {}
    """From a class to its new name, which no other has. `\\1` in it is what a regular expression has grouped."""
    merge: dict[Label, Label | Annotated[tuple[Label, ...], Field(min_length=1)]] = {}
    """From a name to the classes that become this one, which may be one of them or a further class."""
    names: LocalPath | None = None
    """A csv with the columns class and name: the new name of each class in it. Without one a class is left out, and
    classes with one name are merged."""
    taxonomy: Taxonomy | None = None
    """Makes all classes that no other rule names into those of a higher rank."""
    min_images: Count | None = None
    """A class with fewer usable images, after all rules, is left out."""

    @field_validator("exclude", "rename", "merge")
    @classmethod
    def _expressions(cls, rules: Any) -> Any:
        named = [wanted for wanted in rules.values() if wanted] if isinstance(rules, dict) else []
        for wanted in [*rules, *named]:
            for one in [wanted] if isinstance(wanted, str) else wanted:
                if is_expression(one):
                    compiled(one)
        return rules


class Split(Section):
    """A split that stays while the collection grows."""

    file: LocalPath | None = None
    """A copy of `data/split.csv` of finished results. Its images stay in their sets, also under another path, and new
    ones are divided as the others are; null: the whole collection is divided."""


class Data(Section):
    """Images, their split and their imbalance."""

    source: Annotated[str, one_of(known_sources())] = "cifar100"
    """`cifar100` or `cifar10`; `digits`, scikit-learn's 1,797 images of handwritten digits; `torchvision/NAME`, a data
    set that torchvision fetches; `image_folder`, a collection of your own; or `lists`, published lists with the folder
    of their images, or without it for class counts and their figures alone."""
    seed: Seed = 42
    """The seed of the split and the imbalance; training has seeds of its own."""
    train_per_class: Count = 450
    """Training images of each class, for `cifar100` (which has 500), `cifar10` (5,000) and `digits`."""
    test_per_class: Count | None = 50
    """Test images of each class, for the same sources; they are cut from the training images, as in the thesis.
    null: the original test set, which then validates too, so that `train.select` must be `last` and `train.calibrate`
    false."""
    imbalance: Annotated[str, one_of((*IMBALANCES, NATURAL))] = "exponential"
    """How the long-tailed sets fall: from class to class by the same factor, or by one step that leaves the first half
    of the classes whole and gives the others the number of the rarest. `natural` cuts nothing: all images but those of
    `test_per_class` train, and `train_per_class` and the factors mean nothing."""
    imbalance_factor: Fraction = 0.01
    """The number of images of the rarest class, divided by that of the most frequent one, in the long-tailed training
    set."""
    test_imbalance_factor: Fraction | None = None
    """The same for the long-tailed test set; null: the value of `imbalance_factor`."""
    groups: Literal["thirds", "counts"] = "thirds"
    """How the classes are grouped by their long-tailed training images: thirds of the classes (head, middle, tail), or
    by number, as in the long-tail papers (many, medium, few). The same predictions serve both, so a change trains
    nothing."""
    group_limits: Annotated[tuple[Count, Count], Where("groups", ("counts",))] = LIMITS
    """For `groups: counts`: with more training images than the first number a class is one of many, with fewer than the
    second one of few."""
    cifar100: Cifar100 = Cifar100()
    cifar10: Cifar10 = Cifar10()
    image_folder: Annotated[ImageFolder, BeforeValidator(_without_groups)] = ImageFolder()
    lists: Annotated[Lists, BeforeValidator(_without_groups)] = Lists()
    classes: Classes = Classes()
    """Classes that are excluded, renamed or merged, for `image_folder` and `lists`."""
    split: Split = Split()
    """A split that is kept while a collection grows, for `image_folder`."""

    @field_validator("group_limits")
    @classmethod
    def _falling(cls, limits: tuple[int, int]) -> tuple[int, int]:
        if limits[0] < limits[1]:
            raise ValueError(f"{list(limits)} must not rise: first the limit of many, then that of few")
        return limits

    @property
    def facts(self) -> Source:
        """The facts about the source, with what these settings make of it."""
        source = known_sources()[self.source]
        if self.source == "lists" and self.lists.root:
            return replace(source, has_images=True, natural=True)
        if self.imbalance == NATURAL and source.split == "split":
            return replace(source, split="natural_split", natural=True)
        return source

    @property
    def tests_validate(self) -> str:
        """The setting by which no images but those to test on are left to validate with; empty where others are."""
        if self.test_per_class is None:
            return "data.test_per_class: null"
        return (
            "data.lists.val: null"
            if self.source == "lists" and self.lists.root and not self.lists.val
            else ""
        )

    def training_counts(self, train_set: str = "longtailed") -> list[int]:
        """The training images of each class, in label order; empty where no setting tells them."""
        source = self.facts
        if not source.images or source.natural:
            return []
        factor = self.imbalance_factor if train_set == "longtailed" else 1.0
        return longtailed_counts(self.train_per_class, source.classes, factor, self.imbalance)

    @property
    def empty_groups(self) -> list[str]:
        """A sentence for each group without a class, where the settings tell how large the classes are."""
        counts = self.training_counts()
        if not counts:
            return []
        there = frequency_groups(counts, self.groups, self.group_limits)
        return [
            f"data.groups: {self.groups} leaves '{group}' without a class, so nothing is measured on it: the classes "
            f"have {min(counts):,} to {max(counts):,} training images, and data.group_limits is "
            f"[{self.group_limits[0]}, {self.group_limits[1]}]"
            for group in CUTS[self.groups]
            if group not in there
        ]

    def unreachable(self, folder: str) -> Iterator[str]:
        """Why the archive of the source cannot be had, as far as the addresses tell; `folder` keeps those fetched."""
        archive = known_sources()[self.source].archive
        if not archive or Path(folder, archive).is_file():
            return
        files = [local_file(url) for url in getattr(self, self.source).urls]
        if not any(file is None or file.is_file() for file in files):
            yield (
                f"data.{self.source}.url: there is no file {files[0]} (looked for {os.path.realpath(str(files[0]))}); "
                "give the path of the archive, or an address that begins with https://"
            )

    @model_validator(mode="after")
    def _of_collections(self) -> Self:
        for name, own, default, sources in (
            ("classes", self.classes, Classes(), ("image_folder", "lists")),
            ("split", self.split, Split(), ("image_folder",)),
        ):
            if own != default and self.source not in sources:
                raise ValueError(
                    f"data.{name} is for data.source {' and '.join(sources)}, but the source is {self.source}; remove "
                    "it, or name the source"
                )
        return self

    @model_validator(mode="after")
    def _source_is_there(self) -> Self:
        source = known_sources()[self.source]
        if source.required and not getattr(getattr(self, self.source), source.required):
            raise ValueError(
                f"data.{self.source}.{source.required} is not set, but data.source is {self.source}; {source.hint}"
            )
        return self
