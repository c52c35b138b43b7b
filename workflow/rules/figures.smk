# Figures, each as pdf and png with its caption. A figure's job reads only what that figure shows.

# The folder of each rule's figures; its wildcards are what they are drawn for.
FIGURE_RULES = {
    "figure": FIGURES,
    "figure_of_model": MODEL_FIGURES,
    "figure_of_loss": LOSS_FIGURES,
}


rule figures:
    input:
        figure_files(FIGURES, *figures_in(FIGURES)),
        expand(
            figure_files(MODEL_FIGURES, *figures_in(MODEL_FIGURES)),
            train_set=CONFIG.grid.train_sets,
            model=CONFIG.grid.models,
        ),
        # Figures of the other losses are drawn only when asked for by name.
        [
            file
            for train_set, model in sorted(
                {
                    (run.train_set, run.model)
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
