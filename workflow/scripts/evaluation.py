"""The evaluations of all runs in one file, and their per-class results in another.

A run whose files are not there (it failed or was not run) is in both files with NaN in place of its numbers.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the library beside this script

import argparse

from longtail.parquet import write_parquet
from longtail.runs import gather


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, fromfile_prefix_chars="@"
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="FOLDER",
        help="folder of every run there should be, …/{train_set}/{model}/{loss}/seed{seed}, "
        "or @FILE with one on each line",
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="evaluations of all runs (.parquet)")
    parser.add_argument(
        "--output-per-class", required=True, metavar="FILE", help="per-class results (.parquet)"
    )
    return parser.parse_args()


def main() -> None:
    args = arguments()
    folders = [Path(run) for run in args.runs]
    try:
        evaluation = gather([folder / "evaluation.parquet" for folder in folders], ["value"])
        per_class = gather([folder / "per_class.parquet" for folder in folders], ["acc", "f1"], ["n_train"])
        write_parquet(evaluation, args.output)
        write_parquet(per_class, args.output_per_class)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    absent = [folder for folder in folders if not (folder / "evaluation.parquet").is_file()]
    print(f"{args.output}: {len(folders) - len(absent)} of {len(folders)} runs", flush=True)
    for folder in absent:
        print(f"missing: {folder}", flush=True)


if __name__ == "__main__":
    main()
