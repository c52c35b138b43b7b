# From a source with equal classes to a split with a long tail. The balanced sets come before the imbalance, so that it
# never touches them.


rule download:
    output:
        "<data>/cifar-100-python.tar.gz",
    log:
        "<logs>/download.log",
    localrule: True
    conda:
        "../../envs/train.yaml"
    params:
        sha256=CONFIG.data.cifar100.sha256,
        # The hash fixes the content, whatever address it comes from.
        urls=unrecorded(CONFIG.data.cifar100.urls),
    shell:
        "python workflow/scripts/download.py --url {params.urls:q} --sha256 {params.sha256}"
        " --output {output:q} > {log:q} 2>&1"


rule images:
    input:
        archive=rules.download.output if EXPERIMENT.source.archive else [],
    output:
        "<results>/data/images.pth",
    log:
        "<logs>/images.log",
    localrule: True
    conda:
        "../../envs/train.yaml"
    params:
        key=KEYS.images(),
        options=EXPERIMENT.images_options(),
        archive=lambda wildcards, input: (
            ["--archive", *input.archive] if input.archive else []
        ),
    shell:
        "python workflow/scripts/images.py {params.options:q}"
        " {params.archive:q} --output {output:q} > {log:q} 2>&1"


rule subsets:
    input:
        images=rules.images.output,
    output:
        "<results>/data/subsets.parquet",
    log:
        "<logs>/subsets.log",
    localrule: True
    conda:
        "../../envs/train.yaml"
    params:
        key=KEYS.subsets(),
        options=EXPERIMENT.subsets_options(),
    shell:
        "python workflow/scripts/subsets.py --images {input.images:q} {params.options:q}"
        " --output {output:q} > {log:q} 2>&1"


rule split:
    input:
        subsets=rules.subsets.output,
    output:
        "<results>/data/split.parquet",
    log:
        "<logs>/split.log",
    localrule: True
    conda:
        "../../envs/train.yaml"
    params:
        key=KEYS.split(),
        options=EXPERIMENT.split_options(),
    shell:
        "python workflow/scripts/split.py --subsets {input.subsets:q} {params.options:q}"
        " --output {output:q} > {log:q} 2>&1"
