# Figures, each as pdf and png with its caption. A figure's job reads only what that figure shows.

# The folder of each rule's figures; its wildcards are what they are drawn for.
FIGURE_RULES = {
    "figure": FIGURES,
    "figure_of_model": MODEL_FIGURES,
    "figure_of_loss": LOSS_FIGURES,
}


rule figures:
    input:
        figure_files(FIGURES, *telling_figures()),
        expand(
            figure_files(MODEL_FIGURES, *figures_in(MODEL_FIGURES)),
            train_set=CONFIG.grid.train_sets,
            model=CONFIG.grid.models,
        ),
        # The confusion is drawn for every loss, the other figures of losses only for the reference, or when asked for by
        # name.
        [
            file
            for run in EXPERIMENT.shown_runs
            if run.seed == CONFIG.seeds[0] or CONFIG.partial
            for file in expand(
                figure_files(
                    LOSS_FIGURES,
                    *(figures_in(LOSS_FIGURES) if run.loss == EXPERIMENT.reference_loss else ["confusion"]),
                ),
                **run._asdict(),
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
            figure_files(folder, "{figure}"),
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
            f"python {SCRIPTS}/figure.py"
            " {wildcards.figure} {params.options:q}"
            " --output {params.pictures:q} --caption {params.caption:q} > {log:q} 2>&1"
