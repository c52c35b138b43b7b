# Make a split with a long tail from a source with equal classes. The balanced sets are drawn first, so that the
# imbalance never changes them.


if EXPERIMENT.source.archive:
    ARCHIVE = getattr(CONFIG.data, CONFIG.data.source)

    rule download:
        output:
            f"<data>/{EXPERIMENT.source.archive}",
        log:
            "<logs>/download.log",
        localrule: True
        conda:
            "../../envs/train.yaml"
        params:
            sha256=ARCHIVE.sha256,
            # The hash fixes the content, whatever address it comes from.
            urls=unrecorded(ARCHIVE.urls),
        shell:
            f"python {SCRIPTS}/download.py"
            " --url {params.urls:q} --sha256 {params.sha256}"
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
        settings=as_json(EXPERIMENT.images_settings()),
        archive=lambda wildcards, input: as_options({"archive": input.archive}),
        folder=unrecorded(
            ["--folder", f"{CONFIG.paths.data}/torchvision"] if EXPERIMENT.source.family else []
        ),
    shell:
        f"python {SCRIPTS}/images.py"
        " --settings {params.settings:q}"
        " {params.archive:q} {params.folder:q} --output {output:q} > {log:q} 2>&1"


if EXPERIMENT.source.natural:

    rule natural_split:
        input:
            images=rules.images.output,
        output:
            "<results>/data/sets.parquet",
        log:
            "<logs>/natural_split.log",
        localrule: True
        conda:
            "../../envs/train.yaml"
        params:
            key=KEYS.sets(),
            settings=as_json(EXPERIMENT.natural_split_settings()),
        shell:
            f"python {SCRIPTS}/natural_split.py"
            " --images {input.images:q} --settings {params.settings:q}"
            " --output {output:q} > {log:q} 2>&1"

else:

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
            settings=as_json(EXPERIMENT.subsets_settings()),
        shell:
            f"python {SCRIPTS}/subsets.py"
            " --images {input.images:q} --settings {params.settings:q}"
            " --output {output:q} > {log:q} 2>&1"

    rule split:
        input:
            subsets=rules.subsets.output,
        output:
            "<results>/data/sets.parquet",
        log:
            "<logs>/split.log",
        localrule: True
        conda:
            "../../envs/train.yaml"
        params:
            key=KEYS.sets(),
            settings=as_json(EXPERIMENT.split_settings()),
        shell:
            f"python {SCRIPTS}/split.py"
            " --subsets {input.subsets:q} --settings {params.settings:q}"
            " --output {output:q} > {log:q} 2>&1"
