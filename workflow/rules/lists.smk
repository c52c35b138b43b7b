# Lists of a data set without its images: its classes and their counts.


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
