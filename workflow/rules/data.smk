# From a source to tensors.


include: EXPERIMENT.source.rules


# The groups are apart from the sets that are trained on, so that other groups train nothing again.
rule groups:
    input:
        sets="<results>/data/sets.parquet",
    output:
        "<results>/data/split.parquet",
    log:
        "<logs>/groups.log",
    localrule: True
    conda:
        "../../envs/train.yaml"
    params:
        key=KEYS.split(),
        settings=as_json(EXPERIMENT.groups_settings()),
    shell:
        f"python {SCRIPTS}/groups.py"
        " --sets {input.sets:q} --settings {params.settings:q}"
        " --output {output:q} > {log:q} 2>&1"


rule tensors:
    input:
        images="<results>/data/images.pth",
        split=lambda wildcards: f"<results>/data/{EXPERIMENT.table_of(wildcards.subset)}.parquet",
    output:
        "<results>/data/{subset}.pth",
    log:
        "<logs>/tensors/{subset}.log",
    localrule: True
    conda:
        "../../envs/train.yaml"
    params:
        key=lambda wildcards: KEYS.tensors(wildcards.subset),
    shell:
        f"python {SCRIPTS}/tensors.py"
        " --images {input.images:q} --split {input.split:q}"
        " --subset {wildcards.subset} --output {output:q} > {log:q} 2>&1"
