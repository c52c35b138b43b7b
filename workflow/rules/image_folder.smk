# A collection of your own: what is wrong with it, its images, and its split.


rule folder_images:
    output:
        images="<results>/data/images.pth",
        index="<results>/data/index.parquet",
        findings="<results>/data/findings.parquet",
    log:
        "<logs>/folder_images.log",
    localrule: True
    conda:
        "../../envs/train.yaml"
    threads: CONFIG.data.image_folder.threads or workflow.cores or 1
    params:
        key=KEYS.images(),
        settings=as_json(EXPERIMENT.folder_images_settings()),
        # The key has the files' names and content, wherever they lie.
        source=unrecorded(CONFIG.data.image_folder.path),
    shell:
        "python workflow/scripts/folder_images.py --source {params.source:q} --settings {params.settings:q} --threads {threads}"
        " --output-images {output.images:q} --output-index {output.index:q} --output-findings {output.findings:q}"
        " > {log:q} 2>&1"


rule check_data:
    input:
        index=rules.folder_images.output.index,
        findings=rules.folder_images.output.findings,
    output:
        csv="<results>/data/check.csv",
        markdown="<results>/data/check.md",
    log:
        "<logs>/check_data.log",
    localrule: True
    conda:
        "../../envs/train.yaml"
    params:
        key=KEYS.check(),
        # The key has the content of the files that the settings name, wherever they lie.
        settings=unrecorded(as_json(EXPERIMENT.folder_split_settings())),
    shell:
        "python workflow/scripts/check_data.py --index {input.index:q} --findings {input.findings:q} --settings {params.settings:q}"
        " --output-csv {output.csv:q} --output-markdown {output.markdown:q} > {log:q} 2>&1"


rule folder_split:
    input:
        index=rules.folder_images.output.index,
        findings=rules.folder_images.output.findings,
    output:
        split="<results>/data/split.parquet",
        list="<results>/data/split.csv",
    log:
        "<logs>/folder_split.log",
    localrule: True
    conda:
        "../../envs/train.yaml"
    params:
        key=KEYS.split(),
        # The key has the content of the files that the settings name, wherever they lie.
        settings=unrecorded(as_json(EXPERIMENT.folder_split_settings())),
    shell:
        "python workflow/scripts/folder_split.py --index {input.index:q} --findings {input.findings:q}"
        " --settings {params.settings:q} --output {output.split:q} --output-list {output.list:q} > {log:q} 2>&1"
