# The files of figures: which there are, what each is drawn from, and its key. longtail/report/figures says it all.

from longtail.report.figures import sources

FIGURES = "<results>/figures"
MODEL_FIGURES = f"{FIGURES}/{{train_set}}/{{model}}"
LOSS_FIGURES = f"{MODEL_FIGURES}/{{loss}}"
FIGURE_FILES = ["pdf", "png", "txt"]


def figure_files(folder, *names):
    return [f"{folder}/{name}.{extension}" for name in names for extension in FIGURE_FILES]


def figures_in(folder):
    """The names of the figures that are drawn for the wildcards of this folder."""
    return [name for name in sources.figures() if len(sources.chosen_by(name)) == folder.count("{")]


def chosen(wildcards):
    """The training set, model and loss that a figure is drawn for, as far as it is drawn for one."""
    return {name: wildcards[name] for name in sources.CHOICES if wildcards.get(name)}


def of_figure(wildcards, runs):
    """The runs that a figure shows."""
    choice = chosen(wildcards).items()
    return [run for run in runs if all(getattr(run, name) == own for name, own in choice)]


def figure_input(wildcards):
    """What a figure is drawn from, of the runs that are there."""
    shown = of_figure(wildcards, EXPERIMENT.shown_runs)
    return sources.inputs(wildcards.figure, EXPERIMENT, shown)


def figure_key(wildcards):
    shown = of_figure(wildcards, EXPERIMENT.shown_runs)
    upstream = sources.upstream(wildcards.figure, KEYS, shown)
    return KEYS.figure(wildcards.figure, sources.settings(wildcards.figure, EXPERIMENT), *upstream)


def figure_options(wildcards, input):
    """The same files as options, and what is drawn; a run that is not there is named, and shown as missing."""
    runs = of_figure(wildcards, EXPERIMENT.runs)
    settings = sources.settings(wildcards.figure, EXPERIMENT)
    return [
        *(["--settings", as_json(settings)] if settings else []),
        *sources.options(wildcards.figure, RESULTS, EXPERIMENT, runs, SHOWN),
        *as_options(chosen(wildcards)),
        *(caveats(run.loss for run in runs) if sources.shows_runs(wildcards.figure) else []),
    ]
