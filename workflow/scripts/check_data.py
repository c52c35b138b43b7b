"""Everything that is noteworthy about a collection of images, the important first, and what is done about it.

A table of all findings, a page in Markdown, the same in HTML with the pictures that are alike side by side, and the
text that `longtail check` shows on the screen.
"""

import base64
from io import BytesIO
from pathlib import Path

import pandas as pd
from frame import Namespace, program, run
from PIL import Image

from longtail.data.collection.findings import (
    FINDINGS,
    INDEXED,
    alike,
    check,
    class_sizes,
    findings_of,
    findings_table,
    page,
    screen,
)
from longtail.data.collection.listing import Finding
from longtail.data.split.told import asked_of, split_page
from longtail.data.tensors.files import load_tensors
from longtail.files.atomic import atomic_path, write_text
from longtail.files.csv import write_csv
from longtail.report.fonts import REMEDY, letters_without_a_font
from longtail.report.webpage import webpage

SIDE = 128
"""Height and width of a picture on the page, in pixels."""


def main(args: Namespace) -> None:
    index = INDEXED.read(args.index)
    findings = FINDINGS.read(args.findings)
    boxes = []
    for name, letters in letters_without_a_font(index["class_name"].unique()).items():
        found = f"has letters that no installed font has: {letters}"
        boxes.append(Finding(name, "letters", found, f"drawn as boxes; {REMEDY}", False))
    table, split = check(index, findings_table([*findings_of(findings), *boxes]), **args.settings)
    sizes = class_sizes(index, split)
    pictures = _pictures(args.images, index, alike(table))
    facts = table, sizes["images"].sum(), len(sizes), sizes if split is None else None
    shown = f"{screen(table, index, split)}\nThe page: {args.output_html}; all findings: {args.output_csv}\n"
    of_split = "" if split is None else split_page(split, asked_of(args.settings))
    with atomic_path(args.output_csv) as temporary:
        write_csv(table, temporary)
    for path, text in (
        (args.output_markdown, f"{page(*facts)}\n{of_split}"),
        (args.output_html, webpage(f"{page(*facts, pictures)}\n{of_split}", "Check of the collection")),
        (args.output_text, shown),
    ):
        write_text(path, text)
    print(shown, end="", flush=True)


def _pictures(path: Path, index: pd.DataFrame, pairs: pd.DataFrame) -> dict[str, str]:
    """Markdown that shows each image of these pairs, by its path."""
    wanted = index[index["path"].isin({*pairs["path"], *pairs["other"]})]
    if wanted.empty:
        return {}
    data = load_tensors(path, mmap=True)
    place_of = {identity: place for place, identity in enumerate(data.image_ids.tolist())}
    shown = {}
    for row in wanted.itertuples():
        pixels = data.images[place_of[row.image_id]].permute(1, 2, 0).numpy()
        image = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        image.save(file := BytesIO(), "PNG")
        shown[row.path] = f"![](data:image/png;base64,{base64.b64encode(file.getvalue()).decode()})"
    return shown


if __name__ == "__main__":
    parser = program(
        __doc__,
        images="file of tensors, of folder_images.py",
        index="images, of folder_images.py",
        findings="findings, of folder_images.py",
        takes="seed, strict, classes, frozen, and what data.image_folder says of the split",
        output_csv="table (.csv) to write",
        output_markdown="page (.md) to write",
        output_html="page with pictures (.html) to write",
        output_text="what to show on the screen (.txt) to write",
    )
    run(main, parser)
