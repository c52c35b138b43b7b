"""Statistics of the thesis's own 56 runs, and the tables of docs/thesis.md."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the library beside this script

import argparse

from longtail.files import atomic_path
from longtail.statistics.grid import Grid
from longtail.statistics.pages import basis, write_page
from longtail.thesis import analyses, document_tables, fill, read_thesis, without_collapsed


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--thesis", required=True, metavar="FILE", help="resources/thesis_results.csv")
    parser.add_argument(
        "--output-folder", required=True, metavar="FOLDER", help="where to write the tables in full"
    )
    parser.add_argument(
        "--document", metavar="FILE", help="Markdown file whose tables are replaced: docs/thesis.md"
    )
    return parser.parse_args()


def main() -> None:
    args = arguments()
    try:
        evaluation = read_thesis(args.thesis)
        selections = {"all_losses": evaluation, "without_class_balanced": without_collapsed(evaluation)}
        results = {name: analyses(chosen) for name, chosen in selections.items()}
        for folder, tables in results.items():
            about = basis(selections[folder], Grid.of(selections[folder]), data_seed=None)
            for name, table in tables.items():
                write_page(name, table, about, Path(args.output_folder) / folder)
        if args.document:
            tables = document_tables(evaluation, *results.values())
            document = fill(Path(args.document).read_text(encoding="utf-8"), tables)
            with atomic_path(args.document) as temporary:
                temporary.write_text(document, encoding="utf-8")
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"{args.output_folder}: the thesis's {len(Grid.of(evaluation).runs)} runs", flush=True)


if __name__ == "__main__":
    main()
