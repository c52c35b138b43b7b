"""The key of every job: a hash of all that its results depend on.

A key hashes the code that the job runs, the settings that it uses, the files that these name and the keys of the jobs
before it. It is kept beside the job's outputs (`longtail.experiment.proof`), so a job is stale exactly when its key
changed or its files did, whatever happened to clocks and time stamps.
The folder of a run's unfinished state is named after its key too, so changed settings never meet an old state.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from longtail.config.load import ConfigError
from longtail.config.methods import Custom
from longtail.data.split.origin import frozen_content
from longtail.experiment.contents import collection_hash, content_hash
from longtail.experiment.fingerprint import ROOT, fingerprint
from longtail.experiment.jobs import Experiment
from longtail.experiment.proof import packages_here
from longtail.experiment.runs import Run
from longtail.models import model_module
from longtail.settings import local_file

SCRIPTS = "workflow/scripts"
LISTS = ("train", "val", "test", "class_names")
"""The settings of a split that name a file; its rules of classes and a frozen split name others."""
NUMBERS = {"thesis": "resources/thesis_results.csv", "published": "resources/published_results.csv"}
"""The files of numbers that results are compared with."""
IMAGES, SETS, VALIDATION = "the images", "the sets of images", "the validation images"
EVALUATION, START, TEACHER = "the evaluation", "its start", "its teacher"
"""What jobs before others are called."""


def _hash(content: list[Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]


def _numbers(sources: Iterable[str]) -> dict[str, str | None]:
    """The content of the files of numbers among these sources."""
    return {name: content_hash(ROOT / NUMBERS[name]) for name in sources if name in NUMBERS}


def _with_contents(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a split with the content of files in place of their paths."""
    settings = {
        name: content_hash(value) if name in LISTS and value else value for name, value in settings.items()
    }
    if classes := dict(settings.get("classes", {})):
        classes["names"] = classes["names"] and content_hash(classes["names"])
        if taxonomy := classes["taxonomy"]:
            classes["taxonomy"] = {**taxonomy, "file": content_hash(taxonomy["file"])}
        settings["classes"] = classes
    return settings


def _pathless(loss: str | Mapping[str, str]) -> str:
    """What names a loss; that of one's own goes by its class, and the fingerprint has its file."""
    return loss if isinstance(loss, str) else f"class {loss['name']}"


def _named_files(parameters: Any) -> dict[str, dict[str, str]]:
    """The content of the files that parameters of a loss name, under a name of its own; empty where there are none."""
    waiting, found = [parameters], {}
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
        elif isinstance(value, str) and "\0" not in value and (content := content_hash(_filled_in(value))):
            found[value] = content
    return {"files": found} if found else {}


def _filled_in(path: str) -> str:
    """The path that a loss of one's own may make of a parameter, if it replaces ~ and variables."""
    return os.path.expandvars(os.path.expanduser(path))  # noqa: PTH111


class Parts(NamedTuple):
    """What a key is made of."""

    rule: str
    code: tuple[str, ...]
    """The arguments of `fingerprint`: the program, and what it chooses by name."""
    settings: Mapping[str, Any]
    upstream: Mapping[str, str]
    """The keys of the jobs before it, by names for people; their order is that in the hash."""
    of: Mapping[str, Any]
    """The model, the loss and more that the job is of, where it is of one."""


class Keys:
    """The keys of the jobs of an experiment; they are worked out once, since an experiment does not change.

    Attributes:
        parts: what each key is made of that this process has worked out.
    """

    parts: ClassVar[dict[str, Parts]] = {}

    def __init__(self, jobs: Experiment):
        self.jobs = jobs

    def state_folder(self, run: Run) -> str:
        """Where a run keeps the state to resume from; where versions count, no other version goes on with it."""
        config, name = self.jobs.config, self.train(run)
        if config.versions == "stale":
            name = _hash([name, packages_here()])
        return f"{config.paths.work}/{name}"

    def run_list(self) -> str:
        return self._key("run_list", self.jobs.run_list_settings())

    @cache  # noqa: B019
    def images(self) -> str:
        if self.jobs.source.images_rule == "listed_images" and self.jobs.config.data.lists.root:
            root = Path(self.jobs.config.data.lists.root or "")
            content = collection_hash(root, self.jobs.listed.paths)
            settings = _with_contents(self.jobs.listed_images_settings())
            return self._key("listed_images", {"content": content, "settings": settings})
        if self.jobs.source.collection:
            listing = self.jobs.listing
            # Several images may be regions of one file.
            content = collection_hash(
                listing.root, list(dict.fromkeys(entry.path for entry in listing.entries))
            )
            files = {"files": listing.digest(), "content": content}
            return self._key("folder_images", {**files, "settings": self.jobs.folder_images_settings()})
        source = f"longtail.data.sources.{self.jobs.source.family or self.jobs.config.data.source}"
        return self._key("images", self.jobs.images_settings(), choices=[source])

    def metadata(self) -> str:
        return self._key("metadata", {"rows": self.jobs.listing.metadata()})

    @cache  # noqa: B019
    def subsets(self) -> str:
        return self._key("subsets", self.jobs.subsets_settings(), {IMAGES: self.images()})

    @cache  # noqa: B019
    def sets(self) -> str:
        rule = self.jobs.source.split
        before = {"split": self.subsets, "folder_split": self.images, "natural_split": self.images}
        upstream = {IMAGES: before[rule]()} if rule in before else {}
        settings = getattr(self.jobs, f"{rule}_settings")()
        if rule == "folder_split":
            settings["frozen"] = self.frozen()
        return self._key(rule, _with_contents(settings), upstream)

    @cache  # noqa: B019
    def drawn(self) -> str:
        """Key of the division of a collection without a frozen split."""
        settings = {**self.jobs.folder_split_settings(), "frozen": None}
        return self._key("folder_split", _with_contents(settings), {IMAGES: self.images()})

    @cache  # noqa: B019
    def frozen(self) -> str | None:
        """What stands in keys for the frozen split: None where it is the one that is there without it.

        Raises:
            ConfigError: its file is not there.
        """
        file = self.jobs.folder_split_settings()["frozen"]
        if file is None:
            return None
        if (content := content_hash(file)) is None:
            raise ConfigError(
                [
                    f"data.split.file: {file} does not exist; copy data/split.csv of finished results there, or set "
                    "null"
                ]
            )
        with suppress(ValueError):  # what is wrong in it is for the job to say
            return frozen_content(file, self.drawn())
        return content

    def origin(self) -> dict[str, Any]:
        """What the list of the split says of where it comes from."""
        return {"made": self.drawn(), "made_with": self.frozen()}

    @cache  # noqa: B019
    def split(self) -> str:
        return self._key("groups", self.jobs.groups_settings(), {SETS: self.sets()})

    def check(self) -> str:
        settings = {**self.jobs.folder_split_settings(), "frozen": self.frozen()}
        return self._key("check_data", _with_contents(settings), {IMAGES: self.images()})

    @cache  # noqa: B019
    def tensors(self, subset: str) -> str:
        upstream = {IMAGES: self.images(), SETS: getattr(self, self.jobs.table_of(subset))()}
        return self._key("tensors", {"subset": subset}, upstream)

    @cache  # noqa: B019
    def weights(self, model: str) -> str:
        settings = self.jobs.weights_settings(model)
        if settings["weights"] and (file := local_file(settings["weights"])):
            # An address counts as it is written.
            settings["weights"] = content_hash(str(file)) or settings["weights"]
        return self._key("fetch_weights", settings, choices=[self._model_code(model)], of={"model": model})

    @cache  # noqa: B019
    def train(self, run: Run) -> str:
        upstream = {
            "the training images": self.tensors(f"train_{run.train_set}"),
            VALIDATION: self.tensors("val"),
        }
        if start := self.jobs.start(run):
            upstream[START] = self.train(start)
        elif self.jobs.config.model(run.model).pretrained:
            upstream["the pretrained weights"] = self.weights(run.model)
        if self.jobs.needs_groups(run.model, run.loss):
            upstream["the groups of classes"] = self.split()
        if teacher := self.jobs.teacher(run):
            upstream[TEACHER] = self.model(teacher)
        settings = {**self.jobs.train_settings(run.model, run.loss), "seed": run.seed}
        if (distill := self.jobs.config.loss(run.loss).distill) and distill.path:
            settings["distill"] = {**settings["distill"], "teacher": content_hash(distill.path)}
        settings |= {"loss": _pathless(settings["loss"]), **_named_files(settings["loss_parameters"])}
        choices = [self._model_code(run.model), self._loss_code(run.loss)]
        return self._key("train", settings, upstream, choices, of=run._asdict())

    @cache  # noqa: B019
    def adjust(self, run: Run) -> str:
        variant = self.jobs.config.variant(run.loss)
        choices = [self._model_code(run.model), f"longtail.models.variants.{variant.adjust}"]
        upstream = {START: self.train(self.jobs.start(run))}
        if images := self.jobs.adjust_images(run):
            upstream["the images it is made with"] = self.tensors(images)
        if self.jobs.calibrates_variant(run):
            upstream[VALIDATION] = self.tensors("val")
        return self._key("adjust", self.jobs.adjust_settings(run.loss), upstream, choices, of=run._asdict())

    def model(self, run: Run) -> str:
        """Key of the job that makes a run's model."""
        return self.adjust(run) if self.jobs.is_variant(run) else self.train(run)

    @cache  # noqa: B019
    def predict(self, run: Run) -> str:
        upstream = {"its model": self.model(run), "the test images": self.tensors(self.jobs.test_tensors)}
        return self._key(
            "predict", self.jobs.predict_settings(), upstream, choices=[self._model_code(run.model)]
        )

    @cache  # noqa: B019
    def evaluating(self, loss: str) -> str:
        """Key of the evaluation of one run of this loss, but for the data: its predictions and the split."""
        own = self.jobs.loss_settings(loss)
        settings = {**own, "loss": _pathless(own["loss"]), **_named_files(own["loss_parameters"])}
        return self._key("evaluation", settings, choices=[self._loss_code(loss)])

    def evaluation_settings(self) -> dict[str, Any]:
        """The settings of the evaluation: type and parameters of every loss, and the key of its evaluation."""
        return {
            loss: {**self.jobs.loss_settings(loss), "key": self.evaluating(loss)} for loss in self.jobs.losses
        }

    @cache  # noqa: B019
    def evaluation(self) -> str:
        losses = {name: self.jobs.loss_settings(name) for name in self.jobs.losses}
        files = _named_files([own["loss_parameters"] for own in losses.values()])
        losses = {name: {**own, "loss": _pathless(own["loss"])} for name, own in losses.items()}
        settings = {"grid": self.jobs.runs, "losses": losses, **files}
        upstream = {SETS: self.split(), **self._predictions(self.jobs.shown_runs)}
        return self._key(
            "evaluation", settings, upstream, choices=list(map(self._loss_code, self.jobs.losses))
        )

    def statistics(self) -> str:
        return self._key(
            "statistical_analysis", self.jobs.statistics_settings(), {EVALUATION: self.evaluation()}
        )

    def summary(self) -> str:
        settings = {**self.jobs.summary_settings(), **_numbers(NUMBERS)}
        return self._key("summary", settings, {"the statistics": self.statistics()})

    def tables(self, sources: list[str]) -> str:
        """Key of the tables that are made from the evaluation or, where that is among the sources, from the split."""
        if "split" in sources:
            settings = {"train_sets": self.jobs.config.grid.train_sets}
            return self._key("tables", settings, {SETS: self.split()}, ["longtail.report.counts"])
        upstream = {EVALUATION: self.evaluation()}
        return self._key("tables", _numbers(sources), upstream, ["longtail.report.tables"])

    def class_tables(self, runs: Iterable[Run]) -> str:
        """Key of the tables of single classes, which are made from the predictions of these runs."""
        upstream = {SETS: self.split(), **self._predictions(runs)}
        return self._key("tables", {}, upstream, ["longtail.report.classes"])

    def figure(self, figure: str, settings: dict[str, Any], *upstream: str) -> str:
        before = {f"what it is drawn from ({number})": key for number, key in enumerate(upstream, 1)}
        return self._key("figure", settings, before, [f"longtail.report.figures.{figure}"])

    def index(self, settings: Mapping[str, Any], figures: Iterable[str]) -> str:
        """Key of the page that shows all of them, made from what they are made from and with their code."""
        tables = (f"longtail.report.{name}" for name in ("tables", "counts", "classes"))
        code = [
            fingerprint(f"{SCRIPTS}/figure.py", *(f"longtail.report.figures.{name}" for name in figures)),
            fingerprint(f"{SCRIPTS}/tables.py", *tables),
        ]
        upstream = {SETS: self.split()}
        if self.jobs.source.has_images:
            upstream["the summary"] = self.summary()
        return self._key("index", {"settings": settings, "code": code}, upstream)

    def check_own_code(self) -> None:
        """Read the files of losses of one's own, and what they import.

        Raises:
            ConfigError: one of them is no Python.
        """
        for loss in self.jobs.config.trained:
            code = self._loss_code(loss)
            if code.endswith(".py"):
                try:
                    fingerprint(f"{SCRIPTS}/train.py", code)
                except ValueError as error:
                    raise ConfigError([f"losses.{loss}.loss.path: {error}"]) from None

    def _predictions(self, runs: Iterable[Run]) -> dict[str, str]:
        return {f"the predictions of {run}": self.predict(run) for run in runs}

    def _model_code(self, model: str) -> str:
        return model_module(self.jobs.config.model(model).architecture)

    def _loss_code(self, loss: str) -> str:
        entry = self.jobs.config.loss(loss)
        return entry.loss.path if isinstance(entry, Custom) else f"longtail.losses.{entry.loss}"

    def _key(
        self,
        rule: str,
        settings: Mapping[str, Any],
        upstream: Mapping[str, str] | None = None,
        choices: list[str] | None = None,
        of: Mapping[str, Any] | None = None,
    ) -> str:
        parts = Parts(rule, (f"{SCRIPTS}/{rule}.py", *(choices or [])), settings, upstream or {}, of or {})
        key = _hash([rule, fingerprint(*parts.code), settings, list(parts.upstream.values())])
        self.parts[key] = parts
        return key
