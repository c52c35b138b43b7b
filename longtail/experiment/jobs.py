"""The experiment as jobs: which runs there are, the settings each uses, and the key of everything it depends on.

A job's key hashes the code it runs, the settings it uses and the keys of the jobs before it. Snakemake keeps it
among the job's params, so a job is stale exactly when its key changed, whatever happened to clocks and time
stamps; the folder of a run's unfinished state is named after the key too, so changed settings never meet an old
state. Settings that cannot change a result are left out of it.
"""

import hashlib
import itertools
import json
import math
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

from longtail.config.load import Config, ConfigError, Custom
from longtail.data.collection.listing import Listing, list_images
from longtail.experiment.fingerprint import fingerprint
from longtail.models import model_module

SCRIPTS = "workflow/scripts"
PREDICT_MINUTES = 30
"""Time limit of prediction. A job that trains and predicts gets the sum of both limits."""
TEST_SETS = ("balanced", "longtailed", "head", "middle", "tail")
SUBSETS = ("train_balanced", "train_longtailed", "val", *(f"test_{name}" for name in TEST_SETS))


class RunId(NamedTuple):
    """One training run of the grid."""

    train_set: str
    model: str
    loss: str
    seed: int

    def __str__(self) -> str:
        return f"{self.train_set}/{self.model}/{self.loss}/seed{self.seed}"


class Experiment:
    """The jobs of one configuration."""

    def __init__(self, config: Config):
        self.config = config

    @cached_property
    def losses(self) -> list[str]:
        """The losses of the grid, then the variants, which are shown like losses."""
        return [*self.config.grid.losses, *self.config.variants]

    @cached_property
    def runs(self) -> list[RunId]:
        """Every run that is shown, in the order of the configuration."""
        grid = self.config.grid
        return [
            RunId(*run)
            for run in itertools.product(grid.train_sets, grid.models, self.losses, self.config.seeds)
        ]

    def is_variant(self, run: RunId) -> bool:
        """Whether a run is another one with its classifier changed, without training."""
        return run.loss in self.config.variants

    def start(self, run: RunId) -> RunId | None:
        """The run whose model this one starts from, if any: that of a variant, or of decoupled training."""
        if self.is_variant(run):
            return run._replace(loss=self.config.variant(run.loss).of)
        retrain = self.config.loss(run.loss).retrain
        return run._replace(loss=retrain.start) if retrain else None

    @cached_property
    def shown_runs(self) -> list[RunId]:
        """The runs that tables and figures wait for: all, or with `partial` those that are finished."""
        if not self.config.partial:
            return self.runs
        files = ("model.safetensors", "predictions.parquet")
        folder = Path(self.config.paths.results, "runs")
        return [run for run in self.runs if all((folder / str(run) / name).is_file() for name in files)]

    @property
    def published_protocol(self) -> bool:
        """Whether the runs can be laid beside the long-tail papers': CIFAR100-LT by Cao et al. (2019), ResNet-32."""
        config, data = self.config, self.config.data
        protocol = (data.source, data.train_per_class, data.test_per_class, data.imbalance_factor)
        return (
            protocol == ("cifar100", 500, None, 0.01)
            and "resnet32" in config.grid.models
            and "longtailed" in config.grid.train_sets
        )

    @property
    def reference_loss(self) -> str:
        """The loss that the others are compared with."""
        losses, wanted = self.losses, self.config.statistics.reference
        return wanted if wanted in losses else losses[0]

    @cached_property
    def natural(self) -> bool:
        """Whether the classes differ in size by nature: balanced sets are cut from long-tailed ones."""
        return self.config.data.source == "image_folder"

    @property
    def test_tensors(self) -> str:
        """The test set that holds all others."""
        return "test_longtailed" if self.natural else "test_balanced"

    @property
    def train_tensors(self) -> str:
        """The training set that holds the other."""
        return "train_longtailed" if self.natural else "train_balanced"

    @cached_property
    def listing(self) -> Listing:
        """The files of the image folder.

        Raises:
            ConfigError: it does not exist, or is none.
        """
        folder = self.config.data.image_folder
        try:
            return list_images(folder.path, folder.group_column)
        except (OSError, ValueError) as error:
            raise ConfigError([f"data.image_folder: {error}"]) from None

    # --- settings, as the jobs' scripts take them -----------------------------------------------------------

    def images_options(self) -> list[str]:
        data = self.config.data
        return _options(
            source=data.source, sha256=data.cifar100.sha256 if data.source == "cifar100" else None
        )

    def subsets_options(self) -> list[str]:
        data = self.config.data
        return _options(
            seed=data.seed, train_per_class=data.train_per_class, test_per_class=data.test_per_class
        )

    def split_options(self) -> list[str]:
        data = self.config.data
        return _options(
            seed=data.seed,
            imbalance_factor=data.imbalance_factor,
            test_imbalance_factor=data.test_imbalance_factor,
        )

    def folder_images_options(self) -> list[str]:
        folder, grid = self.config.data.image_folder, self.config.grid
        sizes = [self.config.recipe(m, loss).image_size for m in grid.models for loss in grid.losses]
        return _options(
            group_column=folder.group_column,
            size=folder.size or max(sizes),
            max_side=folder.max_side,
            min_side=folder.min_side,
        ) + ([] if folder.near_duplicates else ["--equal-files-only"])

    def folder_split_options(self) -> list[str]:
        folder = self.config.data.image_folder
        return [
            *_options(
                seed=self.config.data.seed,
                test_fraction=folder.test_fraction,
                val_fraction=folder.val_fraction,
                min_test_per_class=folder.min_test_per_class,
                small_classes=folder.small_classes,
                merged_name=folder.merged_name,
                groups=folder.groups,
            ),
            *("--group-limits", *map(str, folder.group_limits)),
            *(["--strict"] if folder.strict else []),
        ]

    def list_split_options(self) -> list[str]:
        lists = self.config.data.lists
        files = _options(train=lists.train, val=lists.val, test=lists.test, class_names=lists.class_names)
        return [*files, *_options(groups=lists.groups), "--group-limits", *map(str, lists.group_limits)]

    def weights_json(self, model: str) -> str:
        entry = self.config.model(model)
        return json.dumps({"model": entry.architecture, "weights": entry.weights})

    def loss_settings(self, loss: str) -> dict[str, Any]:
        """Type and parameters of a loss entry."""
        entry = self.config.loss(loss)
        if isinstance(entry, Custom):
            return {"loss": entry.loss.model_dump(), "loss_parameters": entry.parameters}
        parameters = entry.model_dump(exclude={"loss", "head", "head_init", "retrain", "train"})
        return {"loss": entry.loss, "loss_parameters": parameters}

    def train_settings(self, model: str, loss: str) -> dict[str, Any]:
        """All that defines a run, but for its seed and its data."""
        retrain = self.config.loss(loss).retrain
        return {
            "architecture": self.config.model(model).architecture,
            "head": self.config.loss(loss).head,
            "head_init": self.config.loss(loss).head_init,
            **self.loss_settings(loss),
            "recipe": self.config.recipe(model, loss).settings(),
            **({"retrain": retrain.classifier} if retrain else {}),
        }

    def train_json(self, model: str, loss: str) -> str:
        """`train_settings`, as the training script takes them."""
        return json.dumps(self.train_settings(model, loss))

    def adjust_json(self, loss: str) -> str:
        """How the classifier of a variant is changed."""
        variant = self.config.variant(loss)
        return json.dumps({"adjust": variant.adjust, "tau": variant.tau})

    def predict_json(self) -> str:
        predict = self.config.predict
        return json.dumps({"crops": predict.crops, "expand": predict.expand} if predict.crops else {})

    def place_options(self) -> list[str]:
        """Where a job computes, which cannot change its results."""
        return _options(jobs_per_gpu=self.config.job.jobs_per_gpu, images=self.config.job.images)

    def losses_json(self) -> str:
        """`loss_settings` of every loss, as the evaluation script takes them."""
        return json.dumps({loss: self.loss_settings(loss) for loss in self.losses})

    def grid_options(self) -> list[str]:
        grid = self.config.grid
        words = ["--train-sets", *grid.train_sets, "--models", *grid.models, "--losses", *self.losses]
        return [*words, "--seeds", *map(str, self.config.seeds)]

    def gpus(self, model: str, loss: str) -> int:
        return self.config.recipe(model, loss).gpus_per_job

    def minutes(self, model: str, attempt: int) -> int:
        """Time limit of training: longer with each attempt, as far as the cluster allows it."""
        job = self.config.job
        minutes = job.minutes
        if isinstance(minutes, dict):
            minutes = minutes.get(model, max(minutes.values()))
        longest = job.max_minutes - PREDICT_MINUTES if job.max_minutes else math.inf
        return min(minutes * attempt, longest)

    def work_folder(self, run: RunId) -> str:
        """Where a run keeps the state to resume from."""
        return f"{self.config.paths.work}/{self.train_key(run)}"

    def pretrained(self, model: str) -> bool:
        return self.config.model(model).pretrained

    # --- keys; an experiment lives as long as its process, so they are cached -----------------------------

    @cache  # noqa: B019
    def images_key(self) -> str:
        if self.natural:
            files = {"files": self.listing.digest(), "options": self.folder_images_options()}
            return self._key("folder_images", files)
        return self._key(
            "images", self.images_options(), choices=[f"longtail.data.sources.{self.config.data.source}"]
        )

    @cache  # noqa: B019
    def subsets_key(self) -> str:
        return self._key("subsets", self.subsets_options(), [self.images_key()])

    @cache  # noqa: B019
    def split_key(self) -> str:
        if self.natural:
            return self._key("folder_split", self.folder_split_options(), [self.images_key()])
        if self.config.data.source == "lists":
            return self._key("list_split", self.list_split_options())
        return self._key("split", self.split_options(), [self.subsets_key()])

    def check_key(self) -> str:
        return self._key("check_data", self.folder_split_options(), [self.images_key()])

    @cache  # noqa: B019
    def tensors_key(self, subset: str) -> str:
        # The balanced sets do not depend on the imbalance.
        upstream = self.subsets_key() if self.is_balanced(subset) else self.split_key()
        return self._key("tensors", {"subset": subset}, [self.images_key(), upstream])

    @cache  # noqa: B019
    def weights_key(self, model: str) -> str:
        return self._key("fetch_weights", self.weights_json(model), choices=[self._model_code(model)])

    @cache  # noqa: B019
    def train_key(self, run: RunId) -> str:
        upstream = [self.tensors_key(f"train_{run.train_set}"), self.tensors_key("val")]
        if start := self.start(run):
            upstream.append(self.train_key(start))
        elif self.pretrained(run.model):
            upstream.append(self.weights_key(run.model))
        settings = {**self.train_settings(run.model, run.loss), "seed": run.seed}
        return self._key(
            "train", settings, upstream, choices=[self._model_code(run.model), self._loss_code(run.loss)]
        )

    @cache  # noqa: B019
    def adjust_key(self, run: RunId) -> str:
        variant = self.config.variant(run.loss)
        choices = [self._model_code(run.model), f"longtail.models.variants.{variant.adjust}"]
        return self._key("adjust", self.adjust_json(run.loss), [self.train_key(self.start(run))], choices)

    def model_key(self, run: RunId) -> str:
        """Key of the job that makes a run's model."""
        return self.adjust_key(run) if self.is_variant(run) else self.train_key(run)

    @cache  # noqa: B019
    def predict_key(self, run: RunId) -> str:
        upstream = [self.model_key(run), self.tensors_key(self.test_tensors)]
        return self._key("predict", self.predict_json(), upstream, choices=[self._model_code(run.model)])

    @cache  # noqa: B019
    def evaluation_key(self) -> str:
        settings = {"grid": self.runs, "losses": self.losses_json()}
        upstream = [self.split_key(), *map(self.predict_key, self.shown_runs)]
        return self._key("evaluation", settings, upstream, choices=list(map(self._loss_code, self.losses)))

    def statistics_settings(self) -> dict[str, Any]:
        return {
            "reference": self.reference_loss,
            "resamples": self.config.statistics.resamples,
            "data_seed": self.config.data.seed,
        }

    def statistics_key(self) -> str:
        return self._key("statistical_analysis", self.statistics_settings(), [self.evaluation_key()])

    def summary_settings(self) -> dict[str, Any]:
        data = self.config.data
        return {
            "source": data.source,
            "seed": data.seed,
            "imbalance_factor": data.imbalance_factor,
            "reference": self.reference_loss,
        }

    def summary_key(self) -> str:
        return self._key("summary", self.summary_settings(), [self.statistics_key()])

    def table_key(self, sources: list[str]) -> str:
        """Key of the tables that are made from the evaluation or, where that is among the sources, from the split."""
        if "split" in sources:
            return self._key("tables", {}, [self.split_key()], ["longtail.report.counts"])
        return self._key("tables", {}, [self.evaluation_key()], ["longtail.report.tables"])

    def figure_key(self, figure: str, *upstream: str) -> str:
        return self._key("figure", {}, list(upstream), [f"longtail.report.figures.{figure}"])

    def _model_code(self, model: str) -> str:
        return model_module(self.config.model(model).architecture)

    def _loss_code(self, loss: str) -> str:
        entry = self.config.loss(loss)
        return entry.loss.path if isinstance(entry, Custom) else f"longtail.losses.{entry.loss}"

    def _key(
        self,
        rule: str,
        settings: Mapping[str, Any] | list[str] | str,
        upstream: list[str] | None = None,
        choices: list[str] | None = None,
    ) -> str:
        code = fingerprint(f"{SCRIPTS}/{rule}.py", *(choices or []))
        content = json.dumps([rule, code, settings, upstream or []], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:20]

    def is_balanced(self, subset: str) -> bool:
        """Whether a subset is the same at every imbalance factor."""
        return not self.natural and subset in ("train_balanced", "val", "test_balanced")


def _options(**values: Any) -> list[str]:
    """Command-line options of those values that are given."""
    pairs = [
        (f"--{name.replace('_', '-')}", str(value)) for name, value in values.items() if value is not None
    ]
    return [word for pair in pairs for word in pair]
