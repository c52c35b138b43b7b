"""The training loop: one run of one model with one loss on one training set."""

import math
import time
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch

from longtail.batches.mixup import Targets
from longtail.data.tensors.files import LabelledImages
from longtail.losses import build_loss
from longtail.losses.base import Loss, ModuleLoss
from longtail.losses.weights import effective_number
from longtail.machine.devices import precision_on
from longtail.machine.numerics import autocast, set_numerics
from longtail.machine.randomness import derive_seed, generator, set_seed
from longtail.machine.stopping import StopRequest
from longtail.models.classifier import ImageClassifier
from longtail.models.heads import CosineLinear, class_means
from longtail.training.after_step import after_step
from longtail.training.checkpoint import StateFolder, random_state, restore_random_state, snapshot
from longtail.training.epoch_log import EpochLog
from longtail.training.input import TrainingBatches, build_feed
from longtail.training.model import forward_function, initial_model, moving_average
from longtail.training.optimization import build_optimizer
from longtail.training.progress import Diverged, Progress, Tally
from longtail.training.ranks import Ranks
from longtail.training.retraining import learning_rates
from longtail.training.selection import SCORES, Selection
from longtail.training.settings import RunSettings
from longtail.training.terms import added_terms
from longtail.training.tuning import merge, merged_weights, train_mode

MOST_OF_THE_START = 0.03
"""The share of the first step's weights in an average of the weights from which on a run is told of it."""


class Stopped(Exception):
    """The run was asked to stop; its state is saved, and the same command continues it."""


class Trainer:
    """Trains one run on one device (or on this rank's).

    Args:
        train_set, val_set: images uint8 N x 3 x H x W, labels int64 N, on any device.
        weights: path of pretrained weights, or None to start from random ones.
        start: model file of the run to start from, for decoupled training.
        teacher: model file of the teacher, for distillation.
        states: where the state to resume from is kept.
        groups: the group of every class, str, C; only `select: min_group` needs them.
        stop: looked at after every step.
        log: told of every finished epoch.
        resident: whether all images are moved to the device, as uint8, so that no batch waits for the host. If not,
            batches are gathered where the images are.

    Attributes:
        model: the model whose weights are trained.
        kept: the model that validates and is kept.
        batches: the training batches.
        progress: how far the run is.

    Raises:
        ValueError: the settings do not fit each other, the data or the files.
        FileNotFoundError: there is no such file.
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
        teacher: str | None = None,
        groups: np.ndarray | None = None,
        stop: StopRequest | None = None,
        ranks: Ranks | None = None,
        log: EpochLog | None = None,
        resident: bool = True,
    ):
        recipe = settings.recipe
        self.settings, self.recipe = settings, recipe
        self.device, self.states, self.resident = device, states, resident
        self.stop = stop if stop is not None else StopRequest()
        self.ranks, self.log = ranks or Ranks(), log
        self.precision = precision_on(device, recipe.precision)
        set_numerics(self.precision, deterministic=recipe.deterministic)

        self.class_counts = torch.bincount(train_set.labels.cpu(), minlength=len(train_set.class_names))
        set_seed(derive_seed(settings.seed, "initial weights"), device)
        self.model = initial_model(settings, len(self.class_counts), weights=weights, start=start)
        # PyTorch's types lack this pair of arguments, which its documentation has.
        self.model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.loss = self._build_loss()
        self.views = len(self.loss.views)
        self.trained = [
            weight for part in (self.model, self.loss) for weight in part.parameters() if weight.requires_grad
        ]
        self.optimizer = build_optimizer(
            self.model,
            recipe.optimizer,
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            layer_decay=recipe.layer_decay,
            beside=[weight for weight in self.loss.parameters() if weight.requires_grad],
            rates=learning_rates(self.model, settings),
            rho=recipe.sam.rho if recipe.sam else None,
        )
        self.passes: int = getattr(self.optimizer, "passes", 1)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "fp16")
        self.forward = forward_function(
            self.model, recipe, device, self.ranks, needs=self.loss.needs, views=self.views
        )
        self.after_step = after_step(self.model, recipe)
        self.terms = added_terms(
            settings, train_set.class_names, self.loss.logit_scale, device, self.precision, teacher=teacher
        )
        self.average = moving_average(self.model, recipe.ema)
        self.batches = TrainingBatches(
            train_set,
            self.class_counts,
            recipe,
            settings.seed,
            device,
            resident=resident,
            views=self.loss.views,
            mixtures=self.loss.mixtures,
        )
        self.val_feed = build_feed(val_set, recipe, device, recipe.eval_batch_size, resident=resident)
        self.selection: Selection | None = None
        if recipe.select in SCORES:
            self.selection = Selection(recipe.select, val_set.labels.cpu().numpy(), groups)
        self.progress = Progress()

    @property
    def kept(self) -> ImageClassifier:
        """The average of the weights where the recipe has one, else the model that is trained."""
        return cast(ImageClassifier, self.average.module) if self.average else self.model

    def train(self) -> Progress:
        """Train to the last epoch, from the saved state where there is one.

        Raises:
            Stopped: a stop was requested; the state is saved.
            Diverged: a loss was not finite; names epoch, step and learning rate.
            OSError: a state could not be written.
        """
        if self.ranks.rank == 0:
            for sentence in self.warnings():
                print(f"warning: {sentence}", flush=True)
        partial = self.resume()
        while self.progress.epoch < self.recipe.epochs and not self.progress.ended_early:
            self.train_epoch(partial)
            partial = None
        if self.progress.ended_early and self.ranks.rank == 0:
            print(
                f"ended after epoch {self.progress.epoch} of {self.recipe.epochs}, since none was better than epoch "
                f"{self.progress.best_epoch} (patience: {self.recipe.patience})",
                flush=True,
            )
        self.progress.finished = True
        if self.recipe.select == "last":
            self._keep_weights()
        self.save()
        self.states.wait()
        merge(self.model)
        return self.progress

    def warnings(self) -> list[str]:
        """A sentence for each setting that this run is too short for."""
        found = self.recipe.unreached()
        if self.average:
            # The first step's decay is 0, so no run keeps the weights from before it.
            steps = range(2, self.recipe.epochs * self.batches.steps + 1)
            kept = math.prod(self.average.get_decay(step) for step in steps)
            if kept > MOST_OF_THE_START:
                found.append(
                    f"train.ema: {kept:.0%} of the weights that are kept are those of the first of {len(steps) + 1} "
                    "steps; train longer, or set train.ema: null"
                )
        return found

    def train_epoch(self, partial: Mapping[str, Any] | None = None) -> None:
        """One epoch and its validation, from within the epoch where `partial` holds the state of a stop."""
        epoch, started = self.progress.epoch, time.perf_counter()
        tally = self._begin_epoch(partial)
        steps = self.batches.steps - tally.step
        self._take_steps(tally)
        train_loss, train_acc1 = (tally.sums / self.batches.images_per_epoch).tolist()
        trained = time.perf_counter()
        found = self.validate() if self.recipe.validates(epoch) else {}
        scores = ["val_loss", "val_acc1", *([f"val_{self.selection.name}"] if self.selection else [])]
        history = {
            "epoch": epoch + 1,
            "train_loss": train_loss,
            "train_acc1": train_acc1,
            **{name: found.get(name, math.nan) for name in scores},
            "learning_rate": self.recipe.learning_rate_in(epoch),
        }
        images = steps / self.batches.steps * self.batches.images_per_epoch
        timing = {
            "epoch": epoch + 1,
            "train_seconds": trained - started,
            "val_seconds": time.perf_counter() - trained,
            "train_images_per_second": images / (trained - started),
            "threads": torch.get_num_threads(),  # a run may go on with others than it began with
        }
        self._end_epoch(history, timing)

    def train_step(self, images: torch.Tensor, targets: Targets) -> tuple[torch.Tensor, torch.Tensor]:
        """One optimiser step; the batch's mean loss and number of hits, left on the device.

        With `micro_batch`, gradients accumulate over its parts to the gradient of the whole batch's loss.

        Args:
            images: V B x 3 x H x W, where an image has V views: those of one view after those of the other.
            targets: of the B images.
        """
        weight, batch_size = self.ranks.weight(images), len(targets.labels)
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
                logits, beside = self.forward(chunk, *goal.mixing)
            loss = goal.total(self.loss, logits, **beside) / normalizer
            for term in self.terms:
                loss = loss + term(chunk[: len(logits)], goal, logits) / batch_size
            self.scaler.scale(loss * weight).backward()
            loss_sum += loss.detach()
            hits += (logits.detach().argmax(1) == goal.main_labels()).sum()
        if self.recipe.clip:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.trained, self.recipe.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if weight > 1:
            loss_sum, hits = self.ranks.total(loss_sum), self.ranks.total(hits)
        return loss_sum, hits

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """The mean loss (`val_loss`) and top-1 accuracy (`val_acc1`) on the validation set, and the score of `select`.

        Raises:
            Diverged: the loss is nan. It may be infinite: for a class without training images under balanced
                softmax.
        """
        model = self.kept.eval()
        self.loss.eval()
        self.loss.generator = generator(self.settings.seed, "validation loss", device=self.device)
        sums = torch.zeros(3, device=self.device, dtype=torch.float64)
        predicted = []
        for images, labels in self.val_feed.in_order():
            with autocast(self.device, self.precision):
                logits = model(images)
            answers = logits.argmax(1)
            own = self.loss.total(logits, labels), self.loss.normalizer(labels), (answers == labels).sum()
            sums += torch.stack([number.double() for number in own])
            if self.selection:
                predicted.append(answers)
        total, normalizer, hits = sums.tolist()
        if math.isnan(total / normalizer):
            epoch = self.progress.epoch
            raise Diverged(
                f"the validation loss is nan after epoch {epoch + 1}", self.recipe.learning_rate_in(epoch)
            )
        scores = {"val_loss": total / normalizer, "val_acc1": hits / len(self.val_feed.labels)}
        if self.selection:
            scores[f"val_{self.selection.name}"] = self.selection.of(torch.cat(predicted).cpu().numpy())
        return scores

    def save(self, partial: Mapping[str, Any] | None = None) -> None:
        """Save the state of the run, and within an epoch what `_begin_epoch` needs to go on from there."""
        if self.ranks.rank == 0:
            self.states.save(
                {
                    "model": snapshot(self.model.state_dict()),
                    "average": snapshot(self.average.module.state_dict()) if self.average else None,
                    "optimizer": snapshot(self.optimizer.state_dict()),
                    "loss": snapshot(self.loss.state_dict()),
                    "scaler": self.scaler.state_dict(),
                    "progress": self.progress.state(),
                    "partial": snapshot(partial),
                }
            )

    def resume(self) -> dict[str, Any] | None:
        """Take over the saved state, if any. Return the state within the epoch where the run was stopped inside one."""
        state = self.states.load()
        if state is None:
            if self.settings.head_init == "class_means":
                self._point_head()
            return None
        self.model.load_state_dict(state["model"])
        if self.average:
            self.average.module.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if "loss" in state:  # a state of an earlier version has none
            self.loss.load_state_dict(state["loss"])
        self.progress = Progress(**state["progress"])
        partial = state["partial"]
        within = f", step {partial['step']}" if partial else ""
        print(f"resuming after epoch {self.progress.epoch}{within}", flush=True)
        return partial

    def _build_loss(self) -> Loss:
        loss = build_loss(self.settings.loss, self.class_counts, **self.settings.loss_parameters)
        if self.recipe.mixup and self.recipe.mixup.remix and isinstance(loss, ModuleLoss):
            raise ValueError(
                "Remix gives each image a share of its own, which a loss that is not derived from "
                "longtail.losses.base.Loss cannot weigh; derive it, or set train.mixup.remix: null"
            )
        if "experts" in loss.needs and self.settings.experts == 1:
            raise ValueError(
                f"{type(loss).__name__} needs the logits of several experts, and the model has none; set experts: 3"
            )
        set_seed(derive_seed(self.settings.seed, "initial weights of the loss"), self.device)
        loss.attach(self.model.num_features)
        whole = [name for name, weight in loss.named_parameters() if weight.requires_grad]
        several = len(loss.views) > 1
        if self.ranks.count > 1 and (several or whole):
            what = (
                f"{len(loss.views)} views of an image"
                if several
                else f"weights to train ({', '.join(whole)})"
            )
            raise ValueError(
                f"{type(loss).__name__} has {what}, which several GPUs cannot share; set train.gpus_per_job: 1"
            )
        for setting, does in (("micro_batch", "divides"), ("mixup", "would mix with each other")):
            if several and getattr(self.recipe, setting):
                raise ValueError(
                    f"{type(loss).__name__} compares all {len(loss.views)} views of a batch, which {setting} {does}; "
                    f"set train.{setting}: null"
                )
        return loss.to(self.device)

    @torch.no_grad()
    def _point_head(self) -> None:
        """Point a cosine head to the class means of the backbone as it is."""
        with autocast(self.device, self.precision):
            means = class_means(self.model.backbone, self.batches.feed.in_order(), len(self.class_counts))
        means = self.ranks.first(means)
        for head in (self.model.head, self.kept.head):
            if isinstance(head, CosineLinear):  # always true: `initial_model` checked it
                head.point_to(means)

    def _begin_epoch(self, partial: Mapping[str, Any] | None) -> Tally:
        """Set rate, weights of the loss, modes and generators; return the tally of the steps already taken."""
        epoch, recipe, seed = self.progress.epoch, self.recipe, self.settings.seed
        set_seed(derive_seed(seed, f"model, rank {self.ranks.rank}", epoch), self.device)
        self.draws = self.loss.generator = generator(seed, "loss", epoch, self.device)
        self.loss.train()
        self.loss.begin_epoch(epoch, recipe.epochs)
        if recipe.drw and epoch >= recipe.first_reweighted:
            self.loss.set_class_weight(effective_number(self.class_counts, beta=recipe.drw.beta))
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate_in(epoch) * group.get("lr_scale", 1.0)
        tally = Tally(self.batches.steps, self.device)
        if partial:
            tally.restore(partial)
            restore_random_state(partial["random"], self.device, self.draws)
        train_mode(self.model, self.settings.tune, shift_norms=self.settings.shift_norms)
        return tally

    def _take_steps(self, tally: Tally) -> None:
        """The remaining steps of the epoch. On a request to stop, the state is saved between two of them."""
        epoch = self.progress.epoch
        for images, targets in self.batches.epoch(epoch, tally.step):
            counted = [self.train_step(images, targets) for _ in range(self.passes)]
            tally.add(*counted[0], len(targets.labels))  # of the weights as they are before the step
            for change in self.after_step:
                change(tally.step, self.batches.steps)
            if self.average:  # the step of the run needs no state: it follows from the epoch and the tally
                self.average.update(self.model, step=epoch * self.batches.steps + tally.step)
            if self.stop and self.ranks.count == 1 and tally.step < self.batches.steps:
                tally.check_finite(epoch, self.recipe.learning_rate_in(epoch))
                self.save({**tally.state(), "random": random_state(self.device, self.draws)})
                self._end_stopped()
        tally.check_finite(epoch, self.recipe.learning_rate_in(epoch))

    def _end_epoch(self, history: dict[str, float], timing: dict[str, float]) -> None:
        """Note what the epoch gave, keep its weights if they are the best so far, and save."""
        self.progress.history.append(history)
        self.progress.timing.append(timing)
        self.progress.epoch += 1
        if self.recipe.selects_by and self.progress.is_best(self.recipe.selects_by):
            self._keep_weights()
        self.progress.ended_early = self._runs_out_of_patience()
        if self.log:
            self.log.epoch(self.progress.history, self.progress.timing)
        if self.progress.epoch < self.recipe.epochs:
            self.save()
            # All ranks must leave together, or those that stay wait for ever.
            if self.ranks.any(bool(self.stop), self.device):
                self._end_stopped()

    def _runs_out_of_patience(self) -> bool:
        patience, epoch = self.recipe.patience, self.progress.epoch
        if patience is None or epoch == self.recipe.epochs or not self.recipe.validates(epoch - 1):
            return False
        # All ranks must end together, or those that go on wait for ever.
        return self.ranks.any(epoch - self.progress.best_epoch >= patience, self.device)

    def _keep_weights(self) -> None:
        self.progress.best_epoch = self.progress.epoch
        self.progress.best_weights = snapshot(merged_weights(self.kept))

    def _end_stopped(self) -> None:
        self.states.wait()
        name = self.stop.signal.name if self.stop.signal else "another rank's request"
        raise Stopped(f"stopped by {name} in epoch {self.progress.epoch + 1}; the state is saved")
