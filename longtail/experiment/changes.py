"""What has changed in a collection since the results that are there were made of it, in words."""

from collections import Counter
from pathlib import Path

from longtail.experiment.contents import HUGE, collection_contents
from longtail.experiment.jobs import Experiment


def collection_changes(experiment: Experiment) -> str:
    """A sentence such as "... 30 files added, 1 relabelled ..."; empty where nothing has, or nothing was made yet.

    Files, or regions of them, are compared by their paths, classes and contents with `data/index.parquet` of the
    results. One whose content has only another path is renamed, or relabelled where that is of another class.

    Raises:
        ValueError: that table, or the one of the findings, is damaged.
        ConfigError: the collection is not there.
    """
    folder = Path(experiment.config.paths.results, "data")
    if not experiment.source.collection or not (folder / "index.parquet").is_file():
        return ""
    from longtail.files.parquet import read_parquet  # imports pandas, which is slow

    index = read_parquet(folder / "index.parquet", ["path", "class_name", "sha256"])
    before = dict(zip(index["path"], index["sha256"].str[:20], strict=True))
    class_before = dict(zip(index["path"], index["class_name"], strict=True))
    listing = experiment.listing
    now = {entry.name: entry.class_name for entry in listing.entries}
    file_of = {entry.name: entry.path for entry in listing.entries}
    files = collection_contents(listing.root, list(dict.fromkeys(file_of.values())))
    contents = {name: files[path] for name, path in file_of.items()}
    unused = set()
    if (folder / "findings.parquet").is_file():
        findings = read_parquet(folder / "findings.parquet", ["path", "action"])
        unused = set(findings.loc[findings["action"] == "left out", "path"])
    both = now.keys() & before.keys()
    added = now.keys() - before.keys() - unused
    removed = before.keys() - now.keys()
    moved = Counter(contents[path] for path in added) & Counter(before[path] for path in removed)
    renamed = Counter((contents[path], now[path]) for path in added) & Counter(
        (before[path], class_before[path]) for path in removed
    )
    # The ends of a huge file, which are all that a plan reads, say nothing of the hash in the table.
    replaced = [
        path
        for path in both
        if contents[path] != before[path] and (listing.root / file_of[path]).stat().st_size < HUGE
    ]
    counts = {
        "added": len(added) - moved.total(),
        "removed": len(removed) - moved.total(),
        "renamed": renamed.total(),
        "replaced": len(replaced),
        "relabelled": sum(now[path] != class_before[path] for path in both) + moved.total() - renamed.total(),
    }
    told = [f"{count:,} {what}" for what, count in counts.items() if count]
    if not told:
        return ""
    number, _, what = told[0].partition(" ")
    told[0] = f"{number} file{'' if number == '1' else 's'} {what}"
    text = f"The images have changed since {folder}/index.parquet was made of them: {', '.join(told)}."
    if experiment.config.data.split.file or any(entry.subset for entry in listing.entries):
        return text
    return (
        f"{text} They are divided anew, by which others may change their set; a copy of {folder}/split.csv, named by "
        "data.split.file, keeps those where they are."
    )
