# From a source to tensors.


include: EXPERIMENT.source.rules


rule tensors:
    input:
        images="<results>/data/images.pth",
        split=lambda wildcards: (
            "<results>/data/subsets.parquet"
            if EXPERIMENT.is_balanced(wildcards.subset)
            else "<results>/data/split.parquet"
        ),
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
        "python workflow/scripts/tensors.py --images {input.images:q} --split {input.split:q}"
        " --subset {wildcards.subset} --output {output:q} > {log:q} 2>&1"
