"""Seconds that `snakemake -n` takes for grids of growing size, beside Snakemake alone with as many jobs.

  longtail   this workflow, the full experiment with more seeds, nothing made yet
  bare       a workflow of two rules without functions, params or environments, and two jobs for each run

Measured in turn, several times over; reported are medians. CPU seconds say more than the clock on a busy machine:
planning is one process with one thread.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the library beside this program

from longtail.files.atomic import write_text

ROOT = Path(__file__).resolve().parents[1]
OF_A_SEED = 56
BARE = """
rule all:
    input: expand("{run}.predicted", run=range(RUNS))
rule train:
    output: "{run}.trained"
    shell: "touch {output}"
rule predict:
    input: "{run}.trained"
    output: "{run}.predicted"
    shell: "touch {output}"
"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--runs", type=int, nargs="+", default=[56, 560], help="multiples of 56 (default: 56 560)"
    )
    parser.add_argument("--repeats", type=int, default=3, help="(default: 3)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the measurements there as JSON")
    args = parser.parse_args()
    if any(runs < OF_A_SEED or runs % OF_A_SEED for runs in args.runs):
        parser.error(f"--runs: found {args.runs}, allowed are multiples of {OF_A_SEED}, the runs of one seed")
    return args


def longtail(runs: int, folder: Path) -> tuple[float, float]:
    config = folder / "seeds.json"
    paths = {name: str(folder / name) for name in ("results", "data", "work")}
    config.write_text(json.dumps({"seeds": list(range(runs // OF_A_SEED)), "paths": paths}))
    return measured(["--configfile", str(config)], ROOT)


def bare(runs: int, folder: Path) -> tuple[float, float]:
    (folder / "Snakefile").write_text(BARE.replace("RUNS", str(runs)))
    return measured(["--cores", "1"], folder)


def measured(options: list[str], folder: Path) -> tuple[float, float]:
    """Wall-clock and CPU seconds of a dry run.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "snakemake", "--dry-run", *options],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - started, cpu


def main() -> None:
    args = arguments()
    workflows = {"longtail": longtail, "bare": bare}
    samples: dict[str, dict[int, list[tuple[float, float]]]] = {
        name: {runs: [] for runs in args.runs} for name in workflows
    }
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(args.repeats):
            for runs in args.runs:
                for name, plan in workflows.items():
                    samples[name][runs].append(plan(runs, Path(folder)))
    print(f"{'runs':>6}{'longtail':>22}{'bare':>22}{'ratio':>8}")
    for runs in args.runs:
        wall, cpu = (
            {name: statistics.median(s[i] for s in samples[name][runs]) for name in workflows} for i in (0, 1)
        )
        columns = "".join(f"{wall[name]:>10.1f} s {cpu[name]:>6.1f} CPU" for name in workflows)
        print(f"{runs:>6}{columns}{cpu['longtail'] / cpu['bare']:>8.2f}")
    if args.output:
        write_text(args.output, json.dumps(samples, indent=2) + "\n")


if __name__ == "__main__":
    main()
