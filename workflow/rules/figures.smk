# Figures, each as pdf and png with its caption. Which there are, and what each is drawn from, is read from
# longtail/report/figures; a figure's job reads only what that figure shows.

from longtail.report.figures import sources

FIGURES = "<results>/figures"
MODEL_FIGURES = f"{FIGURES}/{{train_set}}/{{model}}"
LOSS_FIGURES = f"{MODEL_FIGURES}/{{loss}}"
FIGURE_FILES = ["pdf", "png", "txt"]
# The folder of each rule's figures; its wildcards are what they are drawn for.
FIGURE_RULES = {
    "figure": FIGURES,
    "figure_of_model": MODEL_FIGURES,
    "figure_of_loss": LOSS_FIGURES,
}


def figure_files(folder, *names):
    return [
        f"{folder}/{name}.{extension}" for name in names for extension in FIGURE_FILES
    ]


def figures_in(folder):
    """The names of the figures that are drawn for the wildcards of this folder."""
    return [
        name
        for name in sources.figures()
        if len(sources.chosen_by(name)) == folder.count("{")
    ]


def chosen(wildcards):
    """The training set, model and loss that a figure is drawn for, as far as it is drawn for one."""
    return {name: wildcards[name] for name in sources.CHOICES if wildcards.get(name)}


def of_figure(wildcards, runs):
    """The runs that a figure shows."""
    place = tuple(chosen(wildcards).values())
    return [run for run in runs if run[: len(place)] == place]


def figure_input(wildcards):
    """What a figure is drawn from, of the runs that are there."""
    shown = of_figure(wildcards, EXPERIMENT.shown_runs)
    return sources.inputs(wildcards.figure, EXPERIMENT, shown)


def figure_key(wildcards):
    shown = of_figure(wildcards, EXPERIMENT.shown_runs)
    upstream = sources.keys(wildcards.figure, EXPERIMENT, shown)
    return EXPERIMENT.figure_key(wildcards.figure, *upstream)


def figure_options(wildcards, input):
    """The same files as options, and what is drawn; a run whose file is not there is shown as missing."""
    runs = of_figure(wildcards, EXPERIMENT.runs)
    choice = chosen(wildcards).items()
    return [
        *sources.options(wildcards.figure, EXPERIMENT, runs),
        *(word for name, value in choice for word in (sources.option(name), value)),
    ]


rule figures:
    input:
        figure_files(FIGURES, *figures_in(FIGURES)),
        expand(
            figure_files(MODEL_FIGURES, *figures_in(MODEL_FIGURES)),
            train_set=CONFIG.grid.train_sets,
            model=CONFIG.grid.models,
        ),
        # Those of the other losses are drawn when asked for by name.
        [
            file
            for train_set, model in sorted(
                {
                    run[:2]
                    for run in EXPERIMENT.shown_runs
                    if run.loss == EXPERIMENT.reference_loss
                }
            )
            for file in expand(
                figure_files(LOSS_FIGURES, *figures_in(LOSS_FIGURES)),
                train_set=train_set,
                model=model,
                loss=EXPERIMENT.reference_loss,
            )
        ],
    localrule: True


for rule_name, folder in FIGURE_RULES.items():

    rule:
        name:
            rule_name
        input:
            figure_input,
        output:
            in_report(
                "Figures",
                figure_files(folder, "{figure}"),
                of_model if folder != FIGURES else "All runs",
            ),
        log:
            f"{folder.replace('<results>', '<logs>')}/{{figure}}.log",
        wildcard_constraints:
            figure="|".join(figures_in(folder)),
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        params:
            key=figure_key,
            options=figure_options,
            pictures=lambda wildcards, output: output[:2],
            caption=lambda wildcards, output: output[2],
        shell:
            "python workflow/scripts/figure.py {wildcards.figure} {params.options:q}"
            " --output {params.pictures:q} --caption {params.caption:q} > {log:q} 2>&1"
