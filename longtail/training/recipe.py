"""The training recipe: every setting of the training, its type, its range, its default, and what it means.

This is the only place that lists them. The configuration, the training, the tests and the benchmark use this class.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from longtail.settings import (
    MOST,
    Count,
    Fraction,
    HalfOpenUnit,
    NonNegative,
    OpenUnit,
    Positive,
    Rgb,
    Section,
    Unit,
    constant,
    one_of,
)

Select = Annotated[str, one_of(constant("training/selection.py", "SELECTS"))]
NOT_RESULTS = {"gpus_per_job"}
"""The settings that cannot change a result."""
Flips = Annotated[str, one_of(constant("batches/feed.py", "FLIPS"))]
MixKind = Annotated[str, one_of(constant("batches/mixup.py", "KINDS"))]
PolicyName = Annotated[str, one_of(constant("batches/policies.py", "POLICIES"))]
SamplerName = Annotated[str, one_of(constant("batches/sampling.py", "SAMPLERS"))]
Tune = Annotated[str, one_of(constant("training/tuning.py", "TUNES"))]


class Where(NamedTuple):
    """Annotates a setting that acts only where another one has one of these values."""

    name: str
    values: tuple[Any, ...]


class DeferredReweighting(Section):
    """Class-balanced weights from a late epoch on (Cao et al., 2019)."""

    start: HalfOpenUnit = 0.8
    """The fraction of the epochs after which the weights apply."""
    beta: HalfOpenUnit = 0.9999
    """The beta of the effective number of samples (Cui et al., 2019)."""


class Remix(Section):
    """Mixed labels that favour the rarer class (Chou et al., 2020)."""

    kappa: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 3.0
    """How many times as many images one class must have for the other to get the whole label."""
    tau: Unit = 0.5
    """The more frequent class loses its label only where its share of the image is below this."""


class Mixup(Section):
    """Training on mixtures of two images."""

    kind: MixKind = "input"
    """What is mixed: the images (`input`; Zhang et al., 2018), one of them with a rectangle of the other in it
    (`cutmix`; Yun et al., 2019), or their features before the classifier (`manifold`; Verma et al., 2019)."""
    alpha: Positive = 1.0
    """The mixing share is drawn from Beta(alpha, alpha), once for each batch."""
    probability: Fraction = 1.0
    """The share of the batches that are mixed; the authors of CutMix take 0.5 for CIFAR."""
    remix: Remix | None = None
    """null: the labels are mixed like the images."""


class MaxNorm(Section):
    """A limit to the length of the classifier's weight vectors (Alshammari et al., 2022), in decoupled training that
    keeps the classifier of the first stage."""

    share: Unit = 0.1
    """Where the limit lies between the shortest (0) and the longest (1) of the vectors that this training starts
    from."""
    every: Literal["step", "epoch"] = "step"
    """When longer vectors are shortened to it: after every step, as in the paper, or after every epoch, as in the
    authors' code, which its published numbers come from."""


class SharpnessAware(Section):
    """Sharpness-aware minimisation (SAM; Foret et al., 2021): the gradient of each step is that at the weights after a
    move uphill, so a step computes two. Batch norms see each batch twice."""

    rho: Positive = 0.05
    """The length of the move."""


class Recipe(Section):
    """The training recipe; the defaults are the thesis's.

    Any of it can be overridden under `models.NAME.train` and `losses.NAME.train`, the latter winning.
    """

    epochs: Count = 90
    """How many times the training set is gone through."""
    batch_size: Annotated[int, Field(ge=2, le=MOST)] = 128
    """Images per step of the optimiser."""
    image_size: Annotated[int, Field(ge=8, le=1024)] = 224
    """Images are resized to this many pixels, both ways."""
    padding: Annotated[int, Field(ge=0, le=64)] = 4
    """Random crops are taken from the resized image with a black border of this many pixels."""
    flip: bool = True
    """Random flips of training images, as `flips` says."""
    flips: Annotated[Flips, Where("flip", (True,))] = "horizontal"
    """Which mirror images `flip` makes, all equally often: `horizontal` exchanges left and right; `both` also top and
    bottom, for pictures from above; `d4` adds quarter turns, which makes eight, for pictures that have no up, such as
    micrographs."""
    augment: PolicyName | None = None
    """Operations on the cropped images: `trivial`, one of random strength (TrivialAugment Wide, Müller and Hutter,
    2021); `rand`, several of one strength (RandAugment, Cubuk et al., 2020); `autoaugment`, one of 25 pairs that were
    found for CIFAR-10 (AutoAugment, Cubuk et al., 2019); null: none."""
    augment_operations: Annotated[int, Field(ge=1, le=14), Where("augment", ("rand",))] = 2
    """The number of operations that `rand` applies to each image."""
    augment_magnitude: Annotated[int, Field(ge=0, le=30), Where("augment", ("rand",))] = 9
    """The strength of the operations of `rand`; 0 is none."""
    cutout: Annotated[int, Field(ge=2, le=1024)] | None = None
    """A square of so many pixels a side, around a random pixel of each image, is given the mean colour (Cutout, DeVries
    and Taylor, 2017; they take 16 for CIFAR-10 and 8 for CIFAR-100, of 32 pixels); null: none."""
    mean: Rgb = (0.4914, 0.4822, 0.4465)
    """The mean of the normalisation; CIFAR-10's, as in the thesis."""
    std: tuple[Positive, Positive, Positive] = (0.2023, 0.1994, 0.2010)
    """The standard deviation of the normalisation; CIFAR-10's, as in the thesis."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """Adam with L2 regularisation, AdamW with decoupled weight decay, or SGD with momentum."""
    learning_rate: Positive = 1e-3
    """The rate before the schedule and the warm-up change it."""
    weight_decay: NonNegative = 1e-4
    """The strength of the weight decay."""
    layer_decay: Fraction | None = None
    """Each layer learns at this fraction of the rate of the layer after it, the head as the last at the whole rate, and
    one-dimensional weights do not decay; null: all at the same rate. Only architectures of timm can take it."""
    tune: Tune = "all"
    """Which weights of the backbone are trained beside the head: all; low-rank updates of the attention of a vision
    transformer (LoRA), merged into its weights at the end; biases (BitFit); scales and biases of normalisations; none.
    Unless all are, the statistics of batch norms stay those of the pretrained weights."""
    lora_rank: Annotated[Count, Where("tune", ("lora",))] = 4
    """The rank of the updates of `tune: lora`."""
    momentum: Annotated[HalfOpenUnit, Where("optimizer", ("sgd",))] = 0.9
    """The momentum of `sgd`; Adam's betas are PyTorch's."""
    nesterov: Annotated[bool, Where("optimizer", ("sgd",))] = False
    """Nesterov's momentum."""
    sam: SharpnessAware | None = None
    """Sharpness-aware minimisation around the optimiser, at twice the time; null: none."""
    clip: Positive | None = None
    """The gradient of all weights together is shortened to this norm where it is longer; null: never."""
    max_norm: MaxNorm | None = None
    """The longest weight vectors of the classifier; null: any."""
    schedule: Literal["step", "multistep", "cosine", "constant"] = "step"
    """How the learning rate changes over the epochs."""
    step_size: Annotated[Count, Where("schedule", ("step",))] = 30
    """Epochs between two steps of the `step` schedule."""
    milestones: Annotated[tuple[Count, ...], Where("schedule", ("multistep",))] = (160, 180)
    """Epochs after which the `multistep` schedule steps."""
    gamma: Annotated[Positive, Where("schedule", ("step", "multistep"))] = 0.1
    """Factor of each step of `step` and `multistep`."""
    warmup_epochs: Annotated[int, Field(ge=0, le=MOST)] = 0
    """Epochs over which the learning rate rises linearly to its value."""
    select: Select = "best"
    """Which epoch's weights are kept: the best on the validation images by top-1 accuracy (`best`), by the mean of the
    accuracies of the classes (`mean_class_acc`) or of their F1 (`macro_f1`), or by the accuracy of the worst of head,
    middle and tail (`min_group`), of equals the one with the best top-1, then the first; or the `last`."""
    patience: Count | None = None
    """Training ends at a validation after so many epochs in which `select` found none better; null: after `epochs`. The
    schedule of the learning rate stays that of `epochs`."""
    validate_every: Count = 1
    """Epochs from one validation to the next; the last epoch always has one. `select` chooses among these."""
    drw: DeferredReweighting | None = None
    """Deferred re-weighting; null: none."""
    sampler: SamplerName = "instance"
    """Which images an epoch sees. `instance`: each once. The others draw as many: `class_balanced` shows all classes
    equally often, `square_root` in proportion to the square root of their counts, and `progressive` goes from the
    class counts in the first epoch towards equally often in the last."""
    sampler_start: HalfOpenUnit = 0.0
    """The fraction of the epochs after which the sampler draws; before, an epoch sees each image once (deferred
    re-sampling, Cao et al., 2019)."""
    ema: HalfOpenUnit | None = None
    """Decay of a moving average of the weights, which is what validates and is kept; null: none. At step n it is at
    most 1 - n^(-2/3), so that no short run keeps its initial weights; 0.999 is reached at step 31,623."""
    mixup: Mixup | None = None
    """Mixup, and Remix with it; null: none."""
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = "auto"
    """`auto`: bf16 autocast on GPUs and on x86 processors that compute in it (AVX-512 BF16, AMX), else fp32."""
    compile: bool = False
    """`torch.compile` the model."""
    cuda_graphs: bool = False
    """Replay the training step as CUDA graphs (GPU only). It was seen not to give the same bytes again, whatever
    `deterministic` says."""
    deterministic: bool = True
    """Use deterministic kernels: a run gives the same bytes again, at some cost in speed on GPUs."""
    micro_batch: Count | None = None
    """Images per forward pass, whose gradients add up to those of `batch_size`; null: all at once. Batch norm then sees
    micro-batches."""
    eval_batch_size: Count = 256
    """Images per forward pass of validation and prediction."""
    calibrate: bool = True
    """Fit a temperature on the validation set and keep it in the model file, for `longtail predict`. The accuracies
    and calibration errors of the tables are those of the model as trained."""
    false_rejection: Annotated[OpenUnit | None, Where("calibrate", (True,))] = 0.05
    """Which share of pictures of the known classes `longtail predict` may call unknown. With `calibrate`, the threshold
    for it comes from the validation set; null: none is kept."""
    gpus_per_job: Count = 1
    """GPUs of one training job. Above 1 each computes its share of every batch (distributed data parallel). For a grid
    of runs, 1 is faster."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs}) must be below epochs ({self.epochs})")
        if self.micro_batch and self.batch_size % self.micro_batch:
            raise ValueError(f"micro_batch ({self.micro_batch}) must divide batch_size ({self.batch_size})")
        if not self.flip and self.flips != "horizontal":
            raise ValueError(
                f"flips: {self.flips} says how images are flipped, and flip: false that they are not; set flip: true, "
                "or leave flips out"
            )
        if self.sampler_start and self.sampler == "instance":
            raise ValueError(
                f"sampler_start ({self.sampler_start:g}) says when the sampler begins, and sampler: instance draws "
                "nothing; set sampler: class_balanced, or sampler_start: 0"
            )
        if self.nesterov and self.optimizer == "sgd" and not self.momentum:
            raise ValueError(
                "nesterov is a kind of momentum, and momentum is 0; set momentum, or nesterov: false"
            )
        if self.sam and self.precision == "fp16":
            raise ValueError(
                "sam with precision: fp16, which leaves steps out whose gradients overflow, and so one of the two "
                "passes; set precision: auto, bf16 or fp32, or sam: null"
            )
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones {list(self.milestones)} must increase")
        try:
            last = self.learning_rate_in(self.epochs - 1)
        except OverflowError:
            last = math.inf
        if math.isinf(last):
            raise ValueError(
                f"gamma ({self.gamma:g}) lets the learning rate grow beyond all numbers within {self.epochs} epochs; "
                "set it below 1"
            )
        return self

    @model_validator(mode="after")
    def _patient_enough(self) -> Self:
        patience, every = self.patience, self.validate_every
        if patience is None:
            return self
        if self.select == "last":
            raise ValueError(
                f"patience ({patience}) waits for a better epoch, and select: last keeps the last, whatever it is; set "
                "select: best, or patience: null"
            )
        if patience < every:
            raise ValueError(
                f"patience ({patience}) must be at least validate_every ({every}), as no epoch between two validations "
                "can be found better"
            )
        earliest = every * (1 + -(-patience // every))  # with the first validation the best
        for there, first, what in (
            (self.drw, self.first_reweighted, "drw re-weighs the classes"),
            (self.sampler_start, self.first_sampled, f"sampler: {self.sampler} draws the images"),
        ):
            if there and earliest < self.epochs and earliest <= first:
                raise ValueError(
                    f"patience ({patience}) could end training after epoch {earliest}, and {what} from epoch "
                    f"{first + 1} on; set patience to {first} or more, or to null"
                )
        return self

    @property
    def first_reweighted(self) -> int:
        """The first epoch, counted from 0, in which the weights of `drw` apply; without `drw`, that after the last."""
        return int(self.drw.start * self.epochs) if self.drw else self.epochs

    @property
    def first_sampled(self) -> int:
        """The first epoch, counted from 0, in which the sampler draws."""
        return int(self.sampler_start * self.epochs)

    @property
    def selects_by(self) -> str | None:
        """The column of the history whose largest value is the best; None where the last epoch is kept."""
        return {"best": "val_acc1", "last": None}.get(self.select, f"val_{self.select}")

    def settings(self) -> dict[str, Any]:
        """Every setting that can change a result, as JSON knows it: what a key hashes and a model file keeps."""
        return self.model_dump(mode="json", exclude=NOT_RESULTS)

    @classmethod
    def acting(cls, settings: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
        """The settings of a run that did something in it: each name, value, and what a section of them is.

        What is off (null, false, 0) or belongs to something that is off is left out. The order is that of the recipe. A
        setting within a section has a dot in its name and no description.

        Args:
            settings: as `settings` gives them, or those of an earlier version.
        """
        order = list(cls.model_fields)
        for name in sorted(settings, key=lambda name: order.index(name) if name in order else -1):
            value, field = settings[name], cls.model_fields.get(name)
            needs = [each for each in field.metadata if isinstance(each, Where)] if field else []
            off = value is None if "." in name else not value  # within a section, 0 is a value like others
            if off or any(settings.get(need.name) not in need.values for need in needs):
                continue
            if not isinstance(value, Mapping):
                yield name, value, ""
                continue
            yield name, "", SECTIONS[name].__doc__ or "" if name in SECTIONS else ""
            yield from cls.acting({f"{name}.{key}": own for key, own in value.items()})

    def unreached(self) -> list[str]:
        """A sentence for each step of the learning rate, and a patience, that lies behind the last epoch."""
        steps = {"step": (self.step_size,), "multistep": self.milestones}.get(self.schedule, ())
        key = "step_size" if self.schedule == "step" else "milestones"
        early = [
            f"train.patience: no training ends early, since patience is {self.patience} and train.epochs "
            f"{self.epochs}; set patience below it, or to null"
        ]
        return (early if self.patience and self.patience >= self.epochs else []) + [
            f"train.{key}: the learning rate never steps after epoch {step}, since train.epochs is {self.epochs}; set "
            f"{key} below it, or schedule: constant"
            for step in steps
            if step >= self.epochs
        ]

    def validates(self, epoch: int) -> bool:
        """Whether an epoch, counted from 0, ends with a validation."""
        return (epoch + 1) % self.validate_every == 0 or epoch + 1 == self.epochs

    def learning_rate_in(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0.

        It is a function of the epoch alone, so a resumed run needs no state of a scheduler. During the warm-up, epoch e
        gets the share (e + 1) / warmup_epochs. `step` and `multistep` are PyTorch's StepLR and MultiStepLR; `cosine` is
        half a cosine from 1 to 0 over the epochs after the warm-up (Loshchilov and Hutter, 2017).
        """
        warmup = self.warmup_epochs
        if epoch < warmup:
            return self.learning_rate * ((epoch + 1) / warmup)
        if self.schedule == "cosine":
            angle = math.pi * (epoch - warmup) / (self.epochs - warmup)
            return self.learning_rate * ((1 + math.cos(angle)) / 2)
        steps = {"step": epoch // self.step_size, "multistep": sum(epoch >= own for own in self.milestones)}
        return self.learning_rate * self.gamma ** steps.get(self.schedule, 0)


SECTIONS: dict[str, type[Section]] = {
    "drw": DeferredReweighting,
    "max_norm": MaxNorm,
    "mixup": Mixup,
    "mixup.remix": Remix,
    "sam": SharpnessAware,
}
"""The sections within the recipe, by name."""
