"""The section `job`: what a training job asks of the machine."""

from typing import Annotated, Literal

from pydantic import Field

from longtail.settings import MOST, Count, Section, Threads


class Job(Section):
    """What a training job asks of the machine. No setting here makes a job run again."""

    threads: Threads | None = None
    """CPU threads of a job; null: 2 with a GPU, and all cores without one, but no more than the machine has, whatever
    `--cores` says. Other numbers of threads give other last digits on a CPU. A number here holds with fewer cores, too:
    the same bytes on each machine with such a processor."""
    memory_mb: Count = 16000
    """Memory of the host in MB; it grows with each retry."""
    minutes: Count | Annotated[dict[str, Count], Field(min_length=1)] = {
        "mobilenetv2": 360,
        "resnet50": 480,
        "vit_b16": 960,
        "convnext_base": 1440,
    }
    """Time limit on a cluster, for all models or by model; it grows with each retry."""
    max_minutes: Annotated[int, Field(ge=60, le=MOST)] | None = None
    """The longest time limit that the cluster grants; null: it has none."""
    jobs_per_gpu: Count = 1
    """Training jobs that share one GPU."""
    events: bool = False
    """Whether every run writes its curves for TensorBoard while it trains, into `logs/events` of the results:
    `tensorboard --logdir results/logs/events`."""
    images: Literal["auto", "device", "file"] = "auto"
    """Where a job keeps its images: in the memory of the device, or in their files, from which batches are read ahead;
    `auto`: on the device if they take at most half of its free memory."""
