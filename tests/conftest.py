"""What tests share: a strict process, the repository, and small tensors to train on."""

import gc
import json
import os
import sys
from pathlib import Path

import pytest
import warm
from hypothesis import HealthCheck, settings

# Before any test imports PyTorch: one thread each, so that parallel tests do not fight over the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# And where a test asks for two, they sleep while they wait for each other; on a busy core they would spin for seconds.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Where this is set, each of the hundreds of processes would compile all that it imports of this project.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Only a power cut could tell whether a file was on the disk, and a test run waits for the disk some thousand times.
# Programs in processes of their own wait for it all the same (tests/workflow/test_faults.py).
os.fsync = lambda descriptor: None

# On a busy machine, drawing an input or a test of it may take seconds.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

ROOT = Path(__file__).parents[1]
sys.path.append(
    str(ROOT / "workflow/scripts")
)  # their frame, for the programs that tests run in this process


# The files that take longest come first, so that no worker is left with one of them when the others are done.
LONGEST = (
    *("test_workflow", "test_staleness", "test_training", "test_figures"),
    *("test_pretended_cuda", "test_resume", "test_documents", "test_summary"),
    *("test_foreign", "test_models", "test_interruption", "test_own_images"),
    *("test_testing", "test_elsewhere", "test_contributing", "test_evaluation"),
    *("test_faults", "test_init", "test_export", "test_selection"),
    *("test_together", "test_odd_inputs", "test_methods", "test_image_folder"),
    *("test_odd_values", "test_new_photographs", "test_losses", "test_groups_of_classes"),
    *("test_library", "test_places", "test_tables", "test_index"),
    *("test_frozen", "test_gpu_day", "test_training_experts", "test_plan"),
    *("test_augment", "test_tuning", "test_terms", "test_combined"),
    *("test_card", "test_device", "test_fit", "test_statistics"),
    *("test_cluster_guide", "test_damage", "test_retraining", "test_command"),
)


def pytest_configure(config: pytest.Config) -> None:
    """Let the workers be children of the process that has imported what each would take seconds to import."""
    if getattr(config.option, "tx", None) and not hasattr(config, "workerinput"):
        config.option.tx = [f"{worker}//python={warm.place() / 'python'}" for worker in config.option.tx]


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Import the tests while the garbage collector rests; later it passes over what they imported, and looks rarely."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


def pytest_runtest_teardown() -> None:
    # A program that was run in this process has set it. With two threads, the next tests took up to ten times the work:
    # the threads of parallel tests wait for each other without sleeping.
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


@pytest.fixture(scope="session")
def repository() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def digits(tmp_path_factory) -> Path:
    """A folder with small tensors of real digits and their split; the training set is long-tailed: 20 to 2 a class."""
    import torch
    from sklearn.datasets import load_digits

    from longtail.data.tensors.files import LabelledImages, save_tensors

    folder = tmp_path_factory.mktemp("digits")
    bunch = load_digits()
    grey = torch.tensor(bunch.images / 16 * 255).round().to(torch.uint8)
    images, labels = grey[:, None].expand(-1, 3, -1, -1).contiguous(), torch.tensor(bunch.target)
    names = [str(name) for name in bunch.target_names]
    rows = [torch.nonzero(labels == label).flatten() for label in range(10)]
    kept = {
        "train": torch.cat([r[: 20 - 2 * label] for label, r in enumerate(rows)]),
        "val": torch.cat([r[100:110] for r in rows]),
        "test": torch.cat([r[110:120] for r in rows]),
    }
    for subset, ids in kept.items():
        data = LabelledImages(images[ids], labels[ids], ids, names)
        save_tensors(data, folder / f"{subset}.pth")
    return folder


@pytest.fixture(scope="session")
def train_arguments():
    """Command-line arguments of workflow/scripts/train.py for the digits, writing into one folder."""

    def arguments(
        digits: Path,
        out: Path,
        *,
        seed: int = 1,
        threads: int = 1,
        gpus: int = 1,
        start: Path | None = None,
        images: str = "auto",
        **changes,
    ) -> list[str]:
        recipe = {**SMALL_RECIPE, **changes.pop("recipe", {})}
        settings = {
            "architecture": "resnet8",
            "head": "linear",
            "loss": "equalization",
            "loss_parameters": {"lam": 0.1, "gamma": 0.5},
            "recipe": recipe,
            **changes,
        }
        return [
            *("--train-tensors", str(digits / "train.pth"), "--val-tensors", str(digits / "val.pth")),
            *("--seed", str(seed), "--settings", json.dumps(settings), "--work", str(out / "work")),
            *(
                "--output-model",
                str(out / "model.safetensors"),
                "--output-history",
                str(out / "history.parquet"),
            ),
            *("--output-record", str(out / "run.json"), "--threads", str(threads), "--gpus", str(gpus)),
            *(["--start", str(start)] if start else []),
            *("--images", images),
        ]

    return arguments


@pytest.fixture
def trained(digits, train_arguments, tmp_path):
    """Train in this process, see `small_runs.train_here`; the run's progress and its trainer."""
    from small_runs import train_here

    def train(name: str, stop_after: int | None = None, start=None, teacher=None, **changes):
        arguments, files = train_arguments(digits, tmp_path, **changes), {"start": start, "teacher": teacher}
        return train_here(digits, arguments, tmp_path / name, stop_after=stop_after, **files)

    return train


@pytest.fixture(scope="session")
def base(digits, train_arguments, tmp_path_factory):
    """The model file of a short run to start from."""
    from small_runs import save_run, train_here

    folder = tmp_path_factory.mktemp("base")
    arguments = train_arguments(digits, folder, loss="softmax", loss_parameters={}, recipe={"epochs": 2})
    _, run = train_here(digits, arguments, folder / "work")
    return save_run(run, digits, folder / "base.safetensors")


SMALL_RECIPE = {
    "epochs": 3,
    "batch_size": 32,
    "image_size": 8,
    "padding": 1,
    "mean": [0.3, 0.3, 0.3],
    "std": [0.4, 0.4, 0.4],
    "learning_rate": 0.003,
    "schedule": "cosine",
    "warmup_epochs": 1,
    "eval_batch_size": 64,
}
"""What differs from the defaults of `longtail.training.recipe.Recipe`."""
