# Figures, each as pdf and png with its caption. A figure's job reads only what that figure shows.


rule figures:
    input:
        figure_files(FIGURES, *OVERALL),
        expand(
            figure_files(MODEL_FIGURES, *OF_MODEL),
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
                figure_files(LOSS_FIGURES, *OF_LOSS),
                train_set=train_set,
                model=model,
                loss=EXPERIMENT.reference_loss,
            )
        ],
    localrule: True


rule figure:
    input:
        figure_input(all_of_them),
    output:
        in_report("Figures", figure_files(FIGURES, "{figure}")),
    log:
        "<logs>/figures/{figure}.log",
    wildcard_constraints:
        figure="|".join(OVERALL),
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        key=figure_key(all_of_them),
        options=figure_options(all_of_them),
        pictures=lambda wildcards, output: output[:2],
        caption=lambda wildcards, output: output[2],
    shell:
        "python workflow/scripts/figure.py {wildcards.figure} {params.options:q}"
        " --output {params.pictures:q} --caption {params.caption:q} > {log:q} 2>&1"


rule figure_of_model:
    input:
        figure_input(of_its_model),
    output:
        in_report("Figures", figure_files(MODEL_FIGURES, "{figure}"), of_model),
    log:
        "<logs>/figures/{train_set}/{model}/{figure}.log",
    wildcard_constraints:
        figure="|".join(OF_MODEL),
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        key=figure_key(of_its_model),
        options=figure_options(of_its_model),
        pictures=lambda wildcards, output: output[:2],
        caption=lambda wildcards, output: output[2],
    shell:
        "python workflow/scripts/figure.py {wildcards.figure} {params.options:q}"
        " --train-set {wildcards.train_set} --model {wildcards.model:q}"
        " --output {params.pictures:q} --caption {params.caption:q} > {log:q} 2>&1"


rule figure_of_loss:
    input:
        figure_input(of_its_loss),
    output:
        in_report("Figures", figure_files(LOSS_FIGURES, "{figure}"), of_model),
    log:
        "<logs>/figures/{train_set}/{model}/{loss}/{figure}.log",
    wildcard_constraints:
        figure="|".join(OF_LOSS),
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        key=figure_key(of_its_loss),
        options=figure_options(of_its_loss),
        pictures=lambda wildcards, output: output[:2],
        caption=lambda wildcards, output: output[2],
    shell:
        "python workflow/scripts/figure.py {wildcards.figure} {params.options:q}"
        " --train-set {wildcards.train_set} --model {wildcards.model:q} --loss {wildcards.loss:q}"
        " --output {params.pictures:q} --caption {params.caption:q} > {log:q} 2>&1"
