# Which figures there are, what each is drawn from, and its files.

FIGURES = "<results>/figures"
MODEL_FIGURES = f"{FIGURES}/{{train_set}}/{{model}}"
LOSS_FIGURES = f"{MODEL_FIGURES}/{{loss}}"
FIGURE_FILES = ["pdf", "png", "txt"]
# What a figure is drawn from. The runs' files are those of the runs it shows.
OVERALL = {
    "class_distribution": ["split"],
    "example_images": ["tensors", "split"],
    "model_comparison": ["evaluation"],
    "model_comparison_without_class_balanced": ["evaluation"],
    "loss_comparison": ["evaluation"],
    "head_middle_tail": ["evaluation"],
    "tradeoff": ["evaluation"],
    "critical_difference": ["evaluation"],
    "run_cost": ["records"],
}
OF_MODEL = {
    "accuracy_bars": ["evaluation"],
    "accuracy_lines": ["evaluation"],
    "per_class_accuracy": ["per-class"],
    "training_curves": ["history"],
    "forest": ["statistics"],
    "reliability": ["predictions", "weights", "split"],
}
OF_LOSS = {
    "confusion": ["predictions", "split"],
    "confused_pairs": ["predictions", "test-tensors", "tensors", "split"],
}
FIGURE_INPUTS = OVERALL | OF_MODEL | OF_LOSS
SINGLE_FILES = {
    "split": f"{CONFIG.paths.results}/data/split.parquet",
    "tensors": f"{CONFIG.paths.results}/data/{EXPERIMENT.train_tensors}.pth",
    "test-tensors": f"{CONFIG.paths.results}/data/{EXPERIMENT.test_tensors}.pth",
    "evaluation": f"{CONFIG.paths.results}/evaluation.parquet",
    "per-class": f"{CONFIG.paths.results}/per_class.parquet",
    "statistics": f"{CONFIG.paths.results}/statistics/paired_differences.csv",
}
RUN_FILES = {
    "history": "history.parquet",
    "predictions": "predictions.parquet",
    "weights": "model.safetensors",
    "records": "run.json",
}
TRAINING_FILES = ("history", "records")


def figure_files(folder, *names):
    return [
        f"{folder}/{name}.{extension}" for name in names for extension in FIGURE_FILES
    ]


def figure_sources(name, runs):
    """What a figure is drawn from: its script's options, each with its files.

    What only training writes, a variant does not have.
    """
    trained = [run for run in runs if not EXPERIMENT.is_variant(run)]
    return {
        option: (
            [SINGLE_FILES[option]]
            if option in SINGLE_FILES
            else files_of(
                RUN_FILES[option], trained if option in TRAINING_FILES else runs
            )
        )
        for option in FIGURE_INPUTS[name]
    }


def figure_input(select):
    """Those files, of the runs that are there."""
    return lambda wildcards: [
        file
        for files in figure_sources(
            wildcards.figure, select(wildcards, EXPERIMENT.shown_runs)
        ).values()
        for file in files
    ]


def figure_options(select):
    """Those files as command-line options; a file of a run that is not there shows the run as missing."""
    return lambda wildcards, input: [
        word
        for option, files in figure_sources(
            wildcards.figure, select(wildcards, EXPERIMENT.runs)
        ).items()
        for word in (f"--{option}", *files)
    ]


def figure_key(select):
    return lambda wildcards: EXPERIMENT.figure_key(
        wildcards.figure,
        FIGURE_INPUTS[wildcards.figure],
        select(wildcards, EXPERIMENT.shown_runs),
    )


def all_of_them(wildcards, runs):
    return runs


def of_its_model(wildcards, runs):
    return [run for run in runs if run[:2] == (wildcards.train_set, wildcards.model)]


def of_its_loss(wildcards, runs):
    return [run for run in of_its_model(wildcards, runs) if run.loss == wildcards.loss]
