"""The experiment as jobs: which runs there are, and the settings that each job gets.

Settings that cannot change a result are left out, here or when the keys are made (`longtail.experiment.keys`).
"""

import itertools
import os
from collections.abc import Callable
from functools import cache, cached_property
from typing import Any

from longtail.config.load import Config, ConfigError
from longtail.config.methods import Custom
from longtail.config.methods import Loss as LossEntry
from longtail.data.collection.listing import Listing, list_images
from longtail.data.lists.published import PARTS, Listed, find_pictures, read_lists
from longtail.data.lists.rows import CHOICES, Choices
from longtail.data.sources.table import Source
from longtail.data.split.classes import class_mapping
from longtail.data.split.sets import GROUPS
from longtail.experiment.runs import MODEL, PREDICTIONS, Run

SHAPE = {"resize", "pad_with"}
PUBLISHED_PROTOCOLS = {("cifar100", 500): "cao2019", ("cifar10", 5000): "cao2019-cifar10"}
"""The published protocols by source and training images of the largest class."""
THESIS_DATA = {
    "source": "cifar100",
    "train_per_class": 450,
    "test_per_class": 50,
    "imbalance": "exponential",
    "imbalance_factor": 0.01,
}
"""How the thesis divided its images."""
DIVISION = {"test_fraction", "val_fraction", "min_test_per_class", "small_classes", "merged_name", "strict"}
"""What the section of image folders says of the split."""
EVENTS = "logs/events"
"""The folder of the curves of runs that are training, in that of the results."""
PREDICT_MINUTES = 30
"""Time limit of prediction. A job that trains and predicts gets the sum of both limits."""


class Experiment:
    """The jobs of one configuration.

    Args:
        is_file: whether one of the results is there, by its path.
    """

    def __init__(self, config: Config, is_file: Callable[[str], bool] = os.path.isfile):
        self.config = config
        self.is_file = is_file

    @cached_property
    def losses(self) -> list[str]:
        """The losses of the grid, then the variants, which are shown like losses."""
        return [*self.config.grid.losses, *self.config.variants]

    @cached_property
    def runs(self) -> list[Run]:
        """Every run that is shown, in the order of the configuration."""
        grid = self.config.grid
        every = itertools.product(grid.train_sets, grid.models, self.losses, self.config.seeds)
        return [Run(model, loss, train_set, seed) for train_set, model, loss, seed in every]

    @cached_property
    def trained_runs(self) -> list[Run]:
        """Every run that is trained: those of the grid, and those that others or variants start from."""
        grid = self.config.grid
        every = itertools.product(grid.train_sets, grid.models, self.config.trained, self.config.seeds)
        return [Run(model, loss, train_set, seed) for train_set, model, loss, seed in every]

    def is_variant(self, run: Run) -> bool:
        """Whether a run is a variant: another run whose classifier was changed without training."""
        return run.loss in self.config.variants

    def start(self, run: Run) -> Run | None:
        """The run whose model this one starts from; None unless this one is a variant or decoupled training."""
        if self.is_variant(run):
            return run._replace(loss=self.config.variant(run.loss).of)
        retrain = self.config.loss(run.loss).retrain
        return run._replace(loss=retrain.start) if retrain else None

    def teacher(self, run: Run) -> Run | None:
        """The run whose model teaches this one; None: there is none, or it is a file."""
        teacher = None if self.is_variant(run) else self.config.teacher(run.loss)
        return run._replace(loss=teacher) if teacher else None

    def stage(self, run: Run) -> int:
        """How many runs come one after the other before this one can begin: 0 where it needs no other."""
        before = [other for other in (self.start(run), self.teacher(run)) if other]
        return 1 + max(map(self.stage, before)) if before else 0

    @cached_property
    def shown_runs(self) -> list[Run]:
        """The runs that tables and figures wait for: all runs or, with `partial`, the finished ones."""
        if not self.config.partial:
            return self.runs
        folder = f"{self.config.paths.results}/runs"
        return [
            run
            for run in self.runs
            if all(self.is_file(f"{folder}/{run}/{name}") for name in (MODEL, PREDICTIONS))
        ]

    @property
    def published_protocol(self) -> str:
        """The protocol of the long-tail papers (Cao et al., 2019) that the runs follow, as
        resources/published_results.csv calls it; empty if they follow none."""
        config, data = self.config, self.config.data
        if (
            not {"resnet32", "resnet32x4"} & {*config.grid.models}
            or "longtailed" not in config.grid.train_sets
        ):
            return ""
        if (config.train.drw, config.train.mixup, config.train.sampler) != (None, None, "instance"):
            return ""  # what changes every loss makes other methods of all of them
        if (data.test_per_class, data.imbalance, data.imbalance_factor) != (None, "exponential", 0.01):
            return ""
        return PUBLISHED_PROTOCOLS.get((data.source, data.train_per_class), "")

    @property
    def thesis_data(self) -> bool:
        """Whether the images are divided as the thesis's, so that its numbers may stand beside these."""
        data = self.config.data
        found = {name: getattr(data, name) for name in THESIS_DATA}
        return found == THESIS_DATA and data.test_imbalance_factor in (None, data.imbalance_factor)

    @property
    def reference_loss(self) -> str:
        """The loss that the others are compared with."""
        losses, wanted = self.losses, self.config.statistics.reference
        return wanted if wanted in losses else losses[0]

    @cached_property
    def source(self) -> Source:
        """The facts about the source of the images that the rules need."""
        return self.config.data.facts

    @property
    def test_tensors(self) -> str:
        """The test set that holds all others."""
        return "test_longtailed" if self.source.natural else "test_balanced"

    @property
    def train_tensors(self) -> str:
        """The training set that holds the other."""
        return "train_longtailed" if self.source.natural else "train_balanced"

    @cached_property
    def listing(self) -> Listing:
        """The files of the image folder.

        Raises:
            ConfigError: it does not exist, or is no collection of images.
        """
        folder = self.config.data.image_folder
        try:
            choices = Choices(**folder.model_dump(include={*CHOICES}))
            listing = list_images(folder.path or "", choices, folder.root)
        except (OSError, ValueError) as error:
            raise ConfigError([f"data.image_folder: {error}"]) from None
        names = sorted({entry.class_name for entry in listing.entries})
        try:
            class_mapping(names, self.config.data.classes.model_dump())
        except (OSError, ValueError) as error:
            raise ConfigError([str(error)]) from None
        return listing

    @cached_property
    def listed(self) -> Listed:
        """The images of published lists, whose pictures are there.

        Raises:
            ConfigError: a list or a picture is missing, or a list is none.
        """
        lists = self.config.data.lists
        try:
            files = {name: path for name in PARTS if (path := lists.files[name])}
            listed = read_lists(files, lists.class_names)
            find_pictures(listed, lists.root or "")
        except (OSError, ValueError) as error:
            raise ConfigError([f"data.lists: {error}"]) from None
        return listed

    # --- settings, as the programs of the rules take them: each as one JSON ------------------------------------

    def images_settings(self) -> dict[str, Any]:
        data = self.config.data
        own: dict[str, Any] = {}
        if self.source.archive:
            own["sha256"] = getattr(data, data.source).sha256
        if self.source.family and not self.source.size:
            own["size"] = self.largest_size
        return {"source": data.source, **own}

    @property
    def largest_size(self) -> int:
        """The largest height and width, in pixels, that a training takes."""
        trained = itertools.product(self.config.grid.models, self.config.trained)
        return max(self.config.recipe(model, loss).image_size for model, loss in trained)

    def subsets_settings(self) -> dict[str, Any]:
        return self.config.data.model_dump(include={"seed", "train_per_class", "test_per_class"})

    def split_settings(self) -> dict[str, Any]:
        return self.config.data.model_dump(
            include={"seed", "imbalance", "imbalance_factor", "test_imbalance_factor"}
        )

    def folder_images_settings(self) -> dict[str, Any]:
        folder = self.config.data.image_folder
        settings = folder.model_dump(include={*CHOICES, "max_side", "min_side", "near_duplicates"})
        return {**settings, "size": folder.size or self.largest_size, **self.shape_settings()}

    def shape_settings(self) -> dict[str, Any]:
        """How pictures of files become squares, which the model has to know; empty for other sources."""
        data = self.config.data
        if self.source.collection:
            return data.image_folder.model_dump(include=SHAPE)
        return (
            data.lists.model_dump(include=SHAPE)
            if self.config.data.lists.root and data.source == "lists"
            else {}
        )

    def metadata_settings(self) -> dict[str, Any]:
        return self.config.data.image_folder.model_dump(include={*CHOICES})

    def folder_split_settings(self) -> dict[str, Any]:
        data = self.config.data
        settings = {"seed": data.seed, **data.image_folder.model_dump(include=DIVISION)}
        return {**settings, "classes": data.classes.model_dump(), "frozen": data.split.file}

    def list_split_settings(self) -> dict[str, Any]:
        data = self.config.data
        seed = {"seed": data.seed} if self.source.has_images else {}
        return {**data.lists.files, "classes": data.classes.model_dump(), **seed}

    def listed_images_settings(self) -> dict[str, Any]:
        lists = self.config.data.lists
        return {**lists.files, "size": lists.size or self.largest_size, **self.shape_settings()}

    def natural_split_settings(self) -> dict[str, Any]:
        return self.config.data.model_dump(include={"seed", "test_per_class"})

    def groups_settings(self) -> dict[str, Any]:
        return self.config.data.model_dump(include={"groups", "group_limits"})

    def settings_shown(self) -> dict[str, Any]:
        """The configuration with every default, but for what no result depends on and sources that are not used."""
        settings = self.config.model_dump(mode="json", exclude={"job", "paths"})
        settings["data"] = {
            name: value
            for name, value in settings["data"].items()
            if not isinstance(value, dict) or name == self.config.data.source
        }
        return settings

    def weights_settings(self, model: str) -> dict[str, Any]:
        entry = self.config.model(model)
        return {"model": entry.architecture, "weights": entry.weights}

    def loss_settings(self, loss: str) -> dict[str, Any]:
        """Type and parameters of a loss entry."""
        entry = self.config.loss(loss)
        if isinstance(entry, Custom):
            return {"loss": entry.loss.model_dump(), "loss_parameters": entry.parameters}
        parameters = entry.model_dump(exclude={*LossEntry.model_fields})
        return {"loss": entry.loss, "loss_parameters": parameters}

    def train_settings(self, model: str, loss: str) -> dict[str, Any]:
        """The settings that define a run, except its seed and its data."""
        return dict(self._settings_of(model, loss))

    @cached_property
    def _settings_of(self) -> Callable[[str, str], dict[str, Any]]:
        return cache(self._train_settings)  # all seeds and training sets share them

    def _train_settings(self, model: str, loss: str) -> dict[str, Any]:
        retrain, distill = self.config.loss(loss).retrain, self.config.loss(loss).distill
        return {
            "architecture": self.config.model(model).architecture,
            "head": self.config.loss(loss).head,
            "head_init": self.config.loss(loss).head_init,
            **self.loss_settings(loss),
            "recipe": self.config.recipe(model, loss).settings(),
            **self.shape_settings(),
            **(retrain.settings() if retrain else {}),
            **({"distill": distill.settings()} if distill else {}),
            **self._experts(model, loss),
        }

    def _experts(self, model: str, loss: str) -> dict[str, Any]:
        """What a run of several experts is told of them; nothing for other runs."""
        entry, pretrained = self.config.loss(loss), self.config.model(model).pretrained
        if entry.experts == 1:
            return {}
        narrow = not pretrained if entry.narrow_experts is None else entry.narrow_experts
        return {"experts": entry.experts, "narrow_experts": narrow}

    def needs_groups(self, model: str, loss: str) -> bool:
        """Whether the training looks at the groups of classes, which the split tells."""
        return self.config.recipe(model, loss).select == "min_group"

    def adjust_settings(self, loss: str) -> dict[str, Any]:
        """How the classifier of a variant is changed."""
        return self.config.variant(loss).settings()

    def adjust_images(self, run: Run) -> str | None:
        """The set of images, by the name of its file of tensors, that a variant is made with; None: it needs none."""
        images = self.config.variant(run.loss).images
        return {"train": f"train_{run.train_set}", "test": self.test_tensors}.get(images or "", images)

    def calibrates_variant(self, run: Run) -> bool:
        """Whether the validation images tell the temperature of a variant, as they do of the model it starts from."""
        return self.config.recipe(run.model, self.config.variant(run.loss).of).calibrate

    def card_settings(self, run: Run) -> dict[str, Any]:
        """What the card of a run's model says of its training, by which prediction knows the model of another run."""
        start = self.start(run) if self.is_variant(run) else None
        settings = self.train_settings(run.model, (start or run).loss)
        rescaled = settings.pop("retrain", None) in ("scale", "keep_and_scale")
        if start and self.config.variant(run.loss).images == "train":
            del settings["head"]  # it has a new one
        head = {"head": "scaled"} if rescaled else {}
        return {
            "experts": 1,
            **{name: value for name, value in settings.items() if name != "head_init"},
            **head,
            "seed": (start or run).seed,
            **self._class_counts(run.train_set),
            "variant": self.adjust_settings(run.loss) if start else None,
        }

    def _class_counts(self, train_set: str) -> dict[str, list[int]]:
        """The images of each class, by which a model knows its training set; empty where no setting tells them."""
        counts = self._counts_of(train_set)
        return {"class_counts": counts} if counts else {}

    @cached_property
    def _counts_of(self) -> Callable[[str], list[int]]:
        return cache(self.config.data.training_counts)

    def predict_settings(self) -> dict[str, Any]:
        predict = self.config.predict
        return predict.model_dump() if predict.crops else {}

    def place_options(self) -> list[str]:
        """Options that say where a job computes. They cannot change its results, so they are in no key."""
        job = self.config.job
        return ["--jobs-per-gpu", str(job.jobs_per_gpu), "--images", job.images]

    def event_options(self, run: Run) -> list[str]:
        """The option that says where a run writes its curves while it trains; they are no result, so in no key."""
        return ["--events", f"{self.config.paths.results}/{EVENTS}/{run}"] if self.config.job.events else []

    def run_list_settings(self) -> dict[str, Any]:
        """The training sets, models, losses and seeds whose combinations are the runs."""
        return {**self.config.grid.model_dump(), "losses": self.losses, "seeds": self.config.seeds}

    def minutes(self, model: str, attempt: int) -> int:
        """The time limit of a training in minutes. It grows with each attempt, as far as the cluster allows."""
        job = self.config.job
        minutes = job.minutes
        if isinstance(minutes, dict):
            minutes = minutes.get(model, max(minutes.values()))
        if job.max_minutes is None:
            return minutes * attempt
        return min(minutes * attempt, job.max_minutes - PREDICT_MINUTES)

    def statistics_settings(self) -> dict[str, Any]:
        return {"reference": self.reference_loss, "data_seed": self.config.data.seed}

    def summary_settings(self) -> dict[str, Any]:
        data = self.config.data.model_dump(include={"source", "seed", "imbalance", "imbalance_factor"})
        pretrained = {model: self.config.model(model).pretrained for model in self.config.grid.models}
        own = {"thesis_data": self.thesis_data, "reference": self.reference_loss, "pretrained": pretrained}
        return {**data, **own}

    def table_of(self, subset: str) -> str:
        """The table that says which images a subset has: the first one that knows it, since the later ones change more.

        `subsets` holds whatever the imbalance, `sets` whatever the groups of the classes, `split` all.
        """
        if not self.source.natural and subset in ("train_balanced", "val", "test_balanced"):
            return "subsets"
        return "split" if subset.removeprefix("test_") in GROUPS else "sets"
