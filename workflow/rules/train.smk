# One training job per (training set, model, loss, seed), and its predictions. On a cluster the two are one job (the
# group "run"), which waits in the queue once.


rule fetch_weights:
    output:
        "<results>/weights/{model}.safetensors",
    log:
        "<logs>/fetch_weights/{model}.log",
    localrule: True  # compute nodes often have no network
    conda:
        "../../envs/train.yaml"
    params:
        key=lambda wildcards: KEYS.weights(wildcards.model),
        # The key has the content of a file, wherever it lies. Being a function of the output, this is not recorded.
        settings=lambda wildcards, output: as_json(EXPERIMENT.weights_settings(wildcards.model)),
    shell:
        f"python {SCRIPTS}/fetch_weights.py"
        " --settings {params.settings:q} --output {output:q} > {log:q} 2>&1"


# A variant's model is made of a trained one, not by training.
ruleorder: adjust > train


rule adjust:
    input:
        model=model_it_starts_from,
        tensors=lambda wildcards: [
            f"<results>/data/{name}.pth" for name in [EXPERIMENT.adjust_images(run_of(wildcards))] if name
        ],
        val=lambda wildcards: (
            ["<results>/data/val.pth"] if EXPERIMENT.calibrates_variant(run_of(wildcards)) else []
        ),
    output:
        f"{RUN}/model.safetensors",
    log:
        f"<logs>/adjust/{RUN_NAME}.log",
    wildcard_constraints:
        loss="|".join(map(re.escape, CONFIG.variants)) or "(?!)",
    group:
        RUN_GROUP
    conda:
        "../../envs/train.yaml"
    threads: TRAIN_THREADS
    resources:
        # Without images, nothing is computed that a GPU would be claimed for.
        gpu=lambda wildcards, input: int(bool(input.tensors or input.val)),
        mem_mb=MEMORY,
        runtime=PREDICT_MINUTES,
    params:
        key=lambda wildcards: KEYS.adjust(run_of(wildcards)),
        settings=lambda wildcards: as_json(EXPERIMENT.adjust_settings(wildcards.loss)),
        # Being a function of the output, this is not recorded. A run has few functions, since each takes Snakemake time.
        options=lambda wildcards, input, output, threads: [
            *as_options({"tensors": input.tensors, "val-tensors": input.val}),
            *options_of_place(threads),
        ],
    shell:
        f"python {SCRIPTS}/adjust.py"
        " --model {input.model:q} --settings {params.settings:q} --output {output:q} {params.options:q} > {log:q} 2>&1"


rule train:
    input:
        unpack(files_of_training),
        train="<results>/data/train_{train_set}.pth",
        val="<results>/data/val.pth",
    output:
        model=f"{RUN}/model.safetensors",
        history=f"{RUN}/history.parquet",
        record=f"{RUN}/run.json",
    log:
        f"<logs>/train/{RUN_NAME}.log",
    group:
        RUN_GROUP
    conda:
        "../../envs/train.yaml"
    threads: TRAIN_THREADS
    resources:
        gpu=lambda wildcards: CONFIG.recipe(wildcards.model, wildcards.loss).gpus_per_job,
        mem_mb=MEMORY,
        runtime=TRAIN_MINUTES,
    params:
        key=lambda wildcards: KEYS.train(run_of(wildcards)),
        settings=lambda wildcards: as_json(EXPERIMENT.train_settings(wildcards.model, wildcards.loss)),
        # Not recorded, as above.
        options=lambda wildcards, input, output, threads: [
            *as_options({name: input.get(name) for name in ("weights", "start", "teacher", "split")}),
            *("--work", KEYS.state_folder(run_of(wildcards))),
            *EXPERIMENT.event_options(run_of(wildcards)),
            *options_of_place(threads),
        ],
    shell:
        f"python {SCRIPTS}/train.py"
        " --train-tensors {input.train:q} --val-tensors {input.val:q}"
        " --seed {wildcards.seed} --settings {params.settings:q}"
        " --output-model {output.model:q} --output-history {output.history:q} --output-record {output.record:q}"
        " --gpus {resources.gpu} {params.options:q} > {log:q} 2>&1"


rule predict:
    input:
        model=f"{RUN}/model.safetensors",
        tensors=f"<results>/data/{EXPERIMENT.test_tensors}.pth",
    output:
        f"{RUN}/predictions.parquet",
    log:
        f"<logs>/predict/{RUN_NAME}.log",
    group:
        RUN_GROUP
    conda:
        "../../envs/train.yaml"
    threads: TRAIN_THREADS
    resources:
        gpu=1,
        mem_mb=MEMORY,
        runtime=PREDICT_MINUTES,
    params:
        key=lambda wildcards: KEYS.predict(run_of(wildcards)),
        settings=as_json(EXPERIMENT.predict_settings()),
        # Not recorded, as above: the key of the model covers the settings of the run.
        options=lambda wildcards, output, threads: [
            *("--run", as_json(EXPERIMENT.card_settings(run_of(wildcards)))),
            *options_of_place(threads),
        ],
    shell:
        f"python {SCRIPTS}/predict.py"
        " --model {input.model:q} --tensors {input.tensors:q}"
        " --settings {params.settings:q} --output {output:q} {params.options:q} > {log:q} 2>&1"
