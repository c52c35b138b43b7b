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


def telling_figures():
    """The names of the figures of all runs that say something of this grid."""
    models, losses = ({getattr(run, name) for run in EXPERIMENT.runs} for name in ("model", "loss"))
    return [name for name in figures_in(FIGURES) if sources.tells(name, models, losses)]


def chosen(wildcards):
    """The training set, model and loss that a figure is drawn for, as far as it is drawn for one."""
    return {name: wildcards[name] for name in sources.CHOICES if wildcards.get(name)}


@cache
def by_choice(names, shown):
    """The runs, or those that tables and figures wait for, by their values of these names."""
    found = {}
    for run in EXPERIMENT.shown_runs if shown else EXPERIMENT.runs:
        found.setdefault(tuple(getattr(run, name) for name in names), []).append(run)
    return found


def of_figure(wildcards, shown=True):
    """The runs that a figure shows."""
    choice = chosen(wildcards)
    return by_choice(tuple(choice), shown).get(tuple(choice.values()), [])


def figure_input(wildcards):
    """What a figure is drawn from, of the runs that are there."""
    shown = of_figure(wildcards)
    return sources.inputs(wildcards.figure, EXPERIMENT, shown)


def figure_key(wildcards):
    shown = of_figure(wildcards)
    upstream = sources.upstream(wildcards.figure, KEYS, shown)
    return KEYS.figure(wildcards.figure, sources.settings(wildcards.figure, EXPERIMENT), *upstream)


def figure_options(wildcards, input):
    """The same files as options, and what is drawn; a run that is not there is named, and shown as missing."""
    runs = of_figure(wildcards, shown=False)
    settings = sources.settings(wildcards.figure, EXPERIMENT)
    return [
        *(["--settings", as_json(settings)] if settings else []),
        *sources.options(wildcards.figure, RESULTS, EXPERIMENT, runs, SHOWN),
        *as_options(chosen(wildcards)),
        *(caveats(run.loss for run in runs) if sources.shows_runs(wildcards.figure) else []),
    ]
