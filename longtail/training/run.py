"""The training loop: one run of one model with one loss on one training set."""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import nn

from longtail.batches.feed import Feed
from longtail.batches.mixup import Mixer, Targets
from longtail.batches.policies import Policy
from longtail.batches.sampling import sample
from longtail.data.tensors.files import LabelledImages
from longtail.losses import build_loss
from longtail.losses.base import ModuleLoss
from longtail.losses.weights import effective_number
from longtail.machine.devices import precision_on
from longtail.machine.numerics import autocast, set_numerics
from longtail.machine.randomness import derive_seed, generator
from longtail.machine.stopping import StopRequest
from longtail.models import build_model
from longtail.models.heads import CosineLinear, class_means
from longtail.training.checkpoint import StateFolder, snapshot
from longtail.training.optimization import build_optimizer
from longtail.training.progress import EpochLog
from longtail.training.recipe import Recipe
from longtail.training.retraining import decoupled_model
from longtail.training.tuning import freeze, merge, merged_weights, train_mode

LOWER_RATE = "lower train.learning_rate (or models.NAME.train.learning_rate), or use warmup_epochs"


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What one run trains: an architecture with a head, under a loss, by a recipe, from a seed.

    With `retrain` only the classifier is trained, on the backbone of another run; see `longtail.training.retraining`.
    """

    architecture: str
    head: str
    loss: str | Mapping[str, str]
    loss_parameters: Mapping[str, Any]
    recipe: Recipe
    seed: int
    head_init: str = "random"
    retrain: str | None = None


@dataclass(kw_only=True)
class Progress:
    """How far a run is: finished epochs, what they gave, and the weights that are kept."""

    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    timing: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)
    finished: bool = False


class Stopped(Exception):
    """The run was asked to stop; its state is saved, and the same command continues it."""


class Diverged(Exception):
    """A loss that is not finite; says where."""


class Ranks:
    """The processes that share a run, one per GPU; a single one unless `gpus_per_job` is above 1."""

    def __init__(self, rank: int = 0, count: int = 1):
        self.rank, self.count = rank, count

    def share(self, batch: torch.Tensor) -> torch.Tensor:
        """This rank's part of a batch; the whole batch where it is too small to be divided.

        Every rank then computes the same gradient, whose average is that of one process.
        """
        return batch.tensor_split(self.count)[self.rank] if self._divides(len(batch)) else batch

    def weight(self, batch: torch.Tensor) -> float:
        """What this rank's part of the loss is multiplied with, as gradients are averaged over the ranks."""
        return float(self.count) if self._divides(len(batch)) else 1.0

    def total(self, value: torch.Tensor) -> torch.Tensor:
        """The sum over all ranks."""
        if self.count > 1:
            torch.distributed.all_reduce(value)
        return value

    def first(self, value: torch.Tensor) -> torch.Tensor:
        """The value of the first rank."""
        if self.count > 1:
            torch.distributed.broadcast(value, 0)
        return value

    def _divides(self, size: int) -> bool:
        return size >= 2 * self.count


class Run:
    """A run on one device (or on this rank's): everything that training it needs.

    Args:
        train_set, val_set: images uint8 N x 3 x H x W, labels int64 N, on any device.
        weights: path of pretrained weights, or None to start from random ones.
        start: model file of the run to start from, for decoupled training.
        states: where the state to resume from is kept.
        stop: looked at after every step.
        log: told of every finished epoch.
        resident: move the images to the device; if not, batches are gathered where the images are.
    """

    def __init__(
        self,
        settings: RunSettings,
        train_set: LabelledImages,
        val_set: LabelledImages,
        *,
        device: torch.device,
        states: StateFolder,
        weights: str | None = None,
        start: str | None = None,
        stop: StopRequest | None = None,
        ranks: Ranks | None = None,
        log: EpochLog | None = None,
        resident: bool = True,
    ):
        self.settings, self.recipe = settings, settings.recipe
        self.device, self.states, self.resident = device, states, resident
        self.stop = stop if stop is not None else StopRequest()
        self.ranks, self.log = ranks or Ranks(), log
        self.precision = precision_on(device, self.recipe.precision)
        set_numerics(self.precision, deterministic=self.recipe.deterministic)

        self.class_counts = torch.bincount(train_set.labels.cpu(), minlength=len(train_set.class_names))
        torch.manual_seed(derive_seed(settings.seed, "initial weights"))
        model = self._initial_model(weights, start)
        if settings.head_init != "random" and not isinstance(model.head, CosineLinear):
            raise ValueError(
                f"head_init: {settings.head_init} with head: {settings.head}; allowed: random, or class_means with "
                "head: cosine"
            )
        freeze(model, self.recipe.tune, self.recipe.lora_rank)
        self.model = model.to(device, memory_format=torch.channels_last)
        self.loss = build_loss(settings.loss, self.class_counts, **settings.loss_parameters).to(device)
        self.optimizer = build_optimizer(
            self.model,
            self.recipe.optimizer,
            learning_rate=self.recipe.learning_rate,
            weight_decay=self.recipe.weight_decay,
            momentum=self.recipe.momentum,
            layer_decay=self.recipe.layer_decay,
        )
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "fp16")
        self.forward = self._forward_function()
        self.average = self._average()
        if self.recipe.mixup and self.recipe.mixup.remix and isinstance(self.loss, ModuleLoss):
            raise ValueError(
                "Remix gives each image a share of its own, which a loss that is not derived from "
                "longtail.losses.base.Loss cannot weigh; derive it, or set train.mixup.remix: null"
            )
        self.train_labels = train_set.labels.cpu()
        self.train_feed = self._feed(train_set, self.recipe.batch_size, augment=True)
        self.val_feed = self._feed(val_set, self.recipe.eval_batch_size, augment=False)
        # A last batch of one image is left out: batch norm cannot train on it.
        self.images_per_epoch = min(len(train_set.labels), self.train_feed.steps() * self.recipe.batch_size)
        self.progress = Progress()

    def train(self) -> Progress:
        """Train to the last epoch, from the saved state where there is one.

        Raises:
            Stopped: a stop was requested; the state is saved.
            Diverged: a loss was not finite; names epoch, step and learning rate.
            OSError: a state could not be written.
        """
        partial = self.resume()
        while self.progress.epoch < self.recipe.epochs:
            self.train_epoch(partial)
            partial = None
        self.progress.finished = True
        if self.recipe.select == "last":
            self.progress.best_epoch = self.recipe.epochs
            self.progress.best_weights = snapshot(merged_weights(self.kept))
        self._save()
        self.states.wait()
        merge(self.model)
        return self.progress

    def train_epoch(self, partial: Mapping[str, Any] | None = None) -> None:
        """One epoch and its validation, from within the epoch where `partial` holds the state of a stop."""
        started = time.perf_counter()
        epoch, recipe = self.progress.epoch, self.recipe
        self._seed_epoch(epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate_in(epoch) * group.get("lr_scale", 1.0)
        sums = torch.zeros(2, device=self.device, dtype=torch.float64)  # of the losses, and of the hits
        losses = torch.full((self.train_feed.steps(),), float("nan"), device=self.device)
        first_step = 0
        if partial:
            first_step = partial["step"]
            sums.copy_(partial["sums"])
            losses[:first_step].copy_(partial["losses"])
            self._restore_random_state(partial["random"])

        train_mode(self.model, recipe.tune)
        if self.settings.retrain:
            self.model.backbone.eval()  # its batch norms keep their statistics
        step = first_step
        for images, targets in self._batches(epoch, first_step):
            loss, hits = self.train_step(images, targets)
            losses[step] = loss
            sums += torch.stack((loss.double() * len(images), hits.double()))
            step += 1
            if self.stop and self.ranks.count == 1 and step < self.train_feed.steps():
                self._check_finite(losses[:step], epoch)
                self._save(step=step, sums=sums, losses=losses[:step], random=self._random_state())
                self._stopped()
        self._check_finite(losses, epoch)
        train_loss, train_hits = (sums / self.images_per_epoch).tolist()
        trained = time.perf_counter()
        val_loss, val_acc1 = self.validate()
        if math.isnan(
            val_loss
        ):  # infinite it may be: a class without training images, under balanced softmax
            raise Diverged(
                f"the validation loss is nan after epoch {epoch + 1}, at learning rate "
                f"{recipe.learning_rate_in(epoch):g}; {LOWER_RATE}"
            )
        self.progress.history.append(
            {
                "epoch": epoch + 1,
                "train_loss": train_loss,
                "train_acc1": train_hits,
                "val_loss": val_loss,
                "val_acc1": val_acc1,
                "learning_rate": recipe.learning_rate_in(epoch),
            }
        )
        seen = (step - first_step) / self.train_feed.steps() * self.images_per_epoch
        self.progress.timing.append(
            {
                "epoch": epoch + 1,
                "train_seconds": trained - started,
                "val_seconds": time.perf_counter() - trained,
                "train_images_per_second": seen / (trained - started),
            }
        )
        self._note_best(val_acc1)
        self.progress.epoch += 1
        if self.log:
            self.log.epoch(self.progress.history, self.progress.timing)
        if self.progress.epoch < recipe.epochs:
            self._save()
            if self._stop_agreed():
                self._stopped()

    def train_step(self, images: torch.Tensor, targets: Targets) -> tuple[torch.Tensor, torch.Tensor]:
        """One optimiser step; the batch's mean loss and number of hits, left on the device.

        With `micro_batch`, gradients accumulate over its parts to the gradient of the whole batch's loss.
        """
        weight = self.ranks.weight(images)
        images = self.ranks.share(images)
        targets = targets.map(self.ranks.share)
        normalizer = targets.normalizer(self.loss)
        if weight > 1:
            normalizer = self.ranks.total(normalizer)
        part = self.recipe.micro_batch or len(images)
        loss_sum = torch.zeros((), device=self.device)
        hits = torch.zeros((), device=self.device, dtype=torch.int64)
        self.optimizer.zero_grad(set_to_none=True)
        for chunk, goal in zip(images.split(part), targets.split(part), strict=True):
            with autocast(self.device, self.precision):
                logits = self.forward(chunk)
            loss = goal.total(self.loss, logits) / normalizer
            self.scaler.scale(loss * weight).backward()
            loss_sum += loss.detach()
            hits += (logits.detach().argmax(1) == goal.main_labels()).sum()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average:
            self.average.update(self.model)
        if weight > 1:
            loss_sum, hits = self.ranks.total(loss_sum), self.ranks.total(hits)
        return loss_sum, hits

    @torch.no_grad()
    def validate(self) -> tuple[float, float]:
        """Mean loss and top-1 accuracy on the validation set."""
        model = self.kept.eval()
        self.loss.generator = generator(self.settings.seed, "validation loss", device=self.device)
        sums = torch.zeros(3, device=self.device, dtype=torch.float64)
        for images, labels in self.val_feed.in_order():
            with autocast(self.device, self.precision):
                logits = model(images)
            sums += torch.stack(
                (
                    self.loss.total(logits, labels).double(),
                    self.loss.normalizer(labels).double(),
                    (logits.argmax(1) == labels).sum().double(),
                )
            )
        total, normalizer, hits = sums.tolist()
        return total / normalizer, hits / len(self.val_feed.labels)

    def resume(self) -> dict[str, Any] | None:
        """Take up the saved state, if any; the state within its epoch where it was stopped in one."""
        state = self.states.load()
        if state is None:
            self._initialise_head()
            return None
        self.model.load_state_dict(state["model"])
        if self.average:
            self.average.module.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.progress = Progress(**state["progress"])
        partial = state["partial"]
        within = f", step {partial['step']}" if partial else ""
        print(f"resuming after epoch {self.progress.epoch}{within}", flush=True)
        return partial

    def _save(self, **partial: Any) -> None:
        if self.ranks.rank == 0:
            progress = {f.name: getattr(self.progress, f.name) for f in fields(Progress)}
            progress |= {"history": list(self.progress.history), "timing": list(self.progress.timing)}
            self.states.save(
                {
                    "model": snapshot(self.model.state_dict()),
                    "average": snapshot(self.average.module.state_dict()) if self.average else None,
                    "optimizer": snapshot(self.optimizer.state_dict()),
                    "scaler": self.scaler.state_dict(),
                    "progress": progress,
                    "partial": snapshot(partial) or None,
                }
            )

    def _stop_agreed(self) -> bool:
        """Whether any rank was asked to stop. Ranks must leave together or the others wait for ever."""
        if self.ranks.count == 1:
            return bool(self.stop)
        return bool(self.ranks.total(torch.tensor(float(bool(self.stop)), device=self.device)))

    def _stopped(self) -> None:
        self.states.wait()
        name = self.stop.signal.name if self.stop.signal else "another rank's request"
        raise Stopped(f"stopped by {name} in epoch {self.progress.epoch + 1}; the state is saved")

    def _note_best(self, val_acc1: float) -> None:
        earlier = [row["val_acc1"] for row in self.progress.history[:-1]]
        if self.recipe.select == "best" and val_acc1 > max(earlier, default=-1.0):
            self.progress.best_epoch = self.progress.epoch + 1
            self.progress.best_weights = snapshot(merged_weights(self.kept))

    def _check_finite(self, losses: torch.Tensor, epoch: int) -> None:
        bad = (~torch.isfinite(losses)).nonzero()
        if len(bad):
            step = int(bad[0])
            raise Diverged(
                f"the loss is {losses[step].item()} in epoch {epoch + 1}, step {step + 1} of "
                f"{self.train_feed.steps()}, at learning rate {self.recipe.learning_rate_in(epoch):g}; {LOWER_RATE}"
            )

    def _seed_epoch(self, epoch: int) -> None:
        torch.manual_seed(derive_seed(self.settings.seed, f"model, rank {self.ranks.rank}", epoch))
        self.loss.generator = generator(self.settings.seed, "loss", epoch, self.device)
        drw = self.recipe.drw
        if drw and epoch >= int(drw.start * self.recipe.epochs):
            self.loss.set_class_weight(effective_number(self.class_counts, beta=drw.beta))

    def _batches(self, epoch: int, first_step: int) -> Iterator[tuple[torch.Tensor, Targets]]:
        """The epoch's training batches from a step on: sampled, augmented and mixed as the recipe says."""
        recipe, seed, feed = self.recipe, self.settings.seed, self.train_feed
        indices = sample(
            recipe.sampler,
            self.train_labels,
            self.class_counts,
            epoch=epoch,
            epochs=recipe.epochs,
            generator=generator(seed, "sampler", epoch),
        )
        mix = None
        if recipe.mixup:
            mixture = recipe.mixup.model_dump()
            mix = Mixer(mixture, self.class_counts, feed.steps(), recipe.batch_size, seed, epoch, self.device)
        batches = feed.epoch(generator(seed, "order", epoch), indices=indices, start_step=first_step)
        for step, (images, labels) in enumerate(batches, first_step):
            yield mix(step, images, labels) if mix else (images, Targets(labels))

    def _random_state(self) -> dict[str, torch.Tensor]:
        state = {"cpu": torch.get_rng_state(), "loss": self.loss.generator.get_state()}
        if self.device.type == "cuda":
            state["cuda"] = torch.cuda.get_rng_state(self.device)
        return state

    def _restore_random_state(self, state: Mapping[str, torch.Tensor]) -> None:
        torch.set_rng_state(state["cpu"])
        self.loss.generator.set_state(state["loss"])
        if "cuda" in state:
            torch.cuda.set_rng_state(state["cuda"], self.device)

    def _feed(self, images: LabelledImages, batch_size: int, *, augment: bool) -> Feed:
        return Feed(
            # Resident there as uint8, no batch waits for the host.
            images.images.to(self.device) if self.resident else images.images,
            images.labels,
            size=self.recipe.image_size,
            padding=self.recipe.padding if augment else 0,
            flip=self.recipe.flip and augment,
            policy=self._policy() if augment else None,
            mean=self.recipe.mean,
            std=self.recipe.std,
            batch_size=batch_size,
            device=self.device,
            channels_last=True,
            read_ahead=not self.resident,
        )

    def _policy(self) -> Policy | None:
        recipe = self.recipe
        return recipe.augment and Policy(
            recipe.augment,
            size=recipe.image_size,
            operations=recipe.augment_operations,
            magnitude=recipe.augment_magnitude,
        )

    def _initial_model(self, weights: str | None, start: str | None) -> nn.Module:
        settings = self.settings
        if settings.retrain and not start:
            raise ValueError("decoupled training needs the model file of the run that it starts from")
        if start and not settings.retrain:
            raise ValueError(f"{start} is given to start from, but the settings lack retrain: new or scale")
        if start:
            return decoupled_model(
                start,
                settings.retrain,
                architecture=settings.architecture,
                head=settings.head,
                num_classes=len(self.class_counts),
            )
        return build_model(
            settings.architecture,
            num_classes=len(self.class_counts),
            head=settings.head,
            image_size=self.recipe.image_size,
            weights=weights,
        )

    @torch.no_grad()
    def _initialise_head(self) -> None:
        """Point a cosine head to the class means of the backbone as it is, where the settings say so."""
        if self.settings.head_init == "random":
            return
        with autocast(self.device, self.precision):
            means = class_means(self.model.backbone, self.train_feed.in_order(), len(self.class_counts))
        for model in {self.model, self.kept}:
            model.head.point_to(self.ranks.first(means))

    @property
    def kept(self) -> nn.Module:
        """The model that validates and is kept: the average of the weights where the recipe has one."""
        return self.average.module if self.average else self.model

    def _average(self) -> nn.Module | None:
        if self.recipe.ema is None:
            return None
        from timm.utils import ModelEmaV3  # takes seconds, and few recipes need it

        return ModelEmaV3(self.model, decay=self.recipe.ema)

    def _forward_function(self) -> nn.Module:
        model = self.model
        if self.ranks.count > 1:
            if self.device.type == "cuda":  # PyTorch has no synchronised batch norm on the CPU
                model = self.model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
            model = nn.parallel.DistributedDataParallel(model)
        if self.recipe.cuda_graphs and self.device.type == "cuda":
            return torch.compile(model, mode="reduce-overhead")
        return torch.compile(model) if self.recipe.compile else model
