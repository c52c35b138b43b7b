# Published lists of a data set: its classes and their counts and, where their folder is named, its images.


rule list_split:
    output:
        "<results>/data/sets.parquet",
    log:
        "<logs>/list_split.log",
    localrule: True
    conda:
        "../../envs/train.yaml"
    params:
        key=KEYS.sets(),
        # The key has the content of the lists, wherever they lie.
        settings=unrecorded(as_json(EXPERIMENT.list_split_settings())),
    shell:
        f"python {SCRIPTS}/list_split.py" " --settings {params.settings:q} --output {output:q} > {log:q} 2>&1"


if EXPERIMENT.source.has_images:

    rule listed_images:
        output:
            "<results>/data/images.pth",
        log:
            "<logs>/listed_images.log",
        localrule: True
        conda:
            "../../envs/train.yaml"
        threads: CONFIG.data.lists.threads or workflow.cores or 1
        params:
            # The key has the content of lists and pictures, wherever they lie.
            key=KEYS.images(),
            settings=unrecorded(as_json(EXPERIMENT.listed_images_settings())),
            root=unrecorded(CONFIG.data.lists.root),
        shell:
            f"python {SCRIPTS}/listed_images.py"
            " --root {params.root:q} --settings {params.settings:q} --threads {threads}"
            " --output {output:q} > {log:q} 2>&1"
