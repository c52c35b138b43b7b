# A collection of your own: what is wrong with it, its images, and its split.

# The folder or the list and, if not beside it, where its pictures are. The key has their names and content, wherever
# they lie.
COLLECTION = unrecorded(
    as_options({"source": CONFIG.data.image_folder.path, "root": CONFIG.data.image_folder.root})
)


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
        collection=COLLECTION,
    shell:
        f"python {SCRIPTS}/folder_images.py"
        " {params.collection:q} --settings {params.settings:q} --threads {threads}"
        " --output-images {output.images:q} --output-index {output.index:q} --output-findings {output.findings:q}"
        " > {log:q} 2>&1"


rule metadata:
    output:
        "<results>/data/metadata.parquet",
    log:
        "<logs>/metadata.log",
    localrule: True
    conda:
        "../../envs/train.yaml"
    params:
        key=KEYS.metadata(),
        settings=as_json(EXPERIMENT.metadata_settings()),
        collection=COLLECTION,
    shell:
        f"python {SCRIPTS}/metadata.py"
        " {params.collection:q} --settings {params.settings:q}"
        " --output {output:q} > {log:q} 2>&1"


# Asked for by name, the check is made anew, so that it answers on the screen each time.
CHECK = f"{CONFIG.paths.results}/data/check.txt"
CHECK_IS_ASKED = MAIN and "check_data" in sys.argv
if CHECK_IS_ASKED:
    PROOFS.asked.add(STORAGE.local(CHECK))


rule check_data:
    input:
        images=rules.folder_images.output.images,
        index=rules.folder_images.output.index,
        findings=rules.folder_images.output.findings,
    output:
        csv="<results>/data/check.csv",
        markdown="<results>/data/check.md",
        html="<results>/data/check.html",
        text="<results>/data/check.txt",
    log:
        "<logs>/check_data.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        key=KEYS.check(),
        # The key has the content of the files that the settings name, wherever they lie.
        settings=unrecorded(as_json(EXPERIMENT.folder_split_settings())),
    shell:
        f"python {SCRIPTS}/check_data.py"
        " --images {input.images:q} --index {input.index:q} --findings {input.findings:q} --settings {params.settings:q}"
        " --output-csv {output.csv:q} --output-markdown {output.markdown:q} --output-html {output.html:q}"
        " --output-text {output.text:q} > {log:q} 2>&1"


def show_check():
    """What check_data found, as the last thing on the screen, after all that Snakemake has to say at its end.

    The exit status is 1 where the workflow would refuse the collection.
    """
    shown = STORAGE.text(CHECK).replace(f"{RESULTS}/", f"{STORAGE.place(CONFIG.paths.results)}/")
    atexit.register(print, f"\n{shown}", end="", flush=True)
    if "\nThe workflow refuses this collection" in shown:
        sys.exit(1)


rule folder_split:
    input:
        index=rules.folder_images.output.index,
        findings=rules.folder_images.output.findings,
    output:
        sets="<results>/data/sets.parquet",
        list="<results>/data/split.csv",
    log:
        "<logs>/folder_split.log",
    localrule: True
    conda:
        "../../envs/train.yaml"
    params:
        key=KEYS.sets(),
        # The key has the content of the files that the settings name, wherever they lie.
        settings=unrecorded(as_json(EXPERIMENT.folder_split_settings())),
        origin=unrecorded(as_json(KEYS.origin())),
    shell:
        f"python {SCRIPTS}/folder_split.py"
        " --index {input.index:q} --findings {input.findings:q}"
        " --settings {params.settings:q} --origin {params.origin:q}"
        " --output {output.sets:q} --output-list {output.list:q} > {log:q} 2>&1"
