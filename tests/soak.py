"""A small grid whose trainers and whose Snakemake are killed throughout ends as if nothing had happened.

    python tests/soak.py                200 runs
    python tests/soak.py --runs 4       a short form

The grid runs twice: once in quiet, once with random kills (SIGKILL, SIGTERM and SIGINT, of a trainer or of Snakemake),
after each of which the same command is given again at once. Both must end with the same bytes.
"""

import argparse
import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import yaml
from workspace import DIGITS, Workspace

COMMAND = ("--cores", "2", "results/evaluation.parquet")
LOSSES = ["softmax", "focal", "class_balanced", "balanced_softmax", "ldam"]
FILES = ("model.safetensors", "history.parquet", "predictions.parquet")


def configuration(runs: int) -> dict:
    """A grid of so many runs: both training sets, up to five losses, and seeds."""
    losses = LOSSES if runs % 10 == 0 else LOSSES[:1]
    return {
        "grid": {"models": ["resnet8"], "losses": losses},
        "seeds": list(range(runs // (2 * len(losses)))),
        "models": {"resnet8": {"pretrained": False}},
        "data": {**DIGITS, "train_per_class": 20},
        "train": {"epochs": 4, "image_size": 16, "batch_size": 32, "padding": 1, "learning_rate": 0.003},
        "job": {"threads": 1},
    }


def soak(workspace: Workspace, pause: float, chance: random.Random) -> Counter:
    """Run the grid to its end, killing something every `pause` seconds on average; what was killed, and starts."""
    done: Counter = Counter(starts=1)
    process = workspace.begin(*COMMAND)
    killed = False
    while True:
        try:
            code = process.wait(chance.uniform(0.2, 1.8) * pause)
        except subprocess.TimeoutExpired:
            killed = True
            number = chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
            running = workspace.trainers()
            if running and chance.random() < 0.7:
                number = signal.SIGTERM if number == signal.SIGINT else number
                with contextlib.suppress(ProcessLookupError):
                    os.kill(chance.choice(running), number)
                    done[f"trainers by {number.name}"] += 1
                continue
            process.send_signal(number)
            done[f"Snakemake by {number.name}"] += 1
            if number != signal.SIGKILL:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(60)
            process.kill()
            code = process.wait()
        if code == 0:
            return done
        if not killed:
            log = (workspace.folder / "snakemake.err").read_text(encoding="utf-8")
            sys.exit(f"failed, and nothing had been killed since it was started:\n{log[-3000:]}")
        killed = False
        # Trainers whose Snakemake is gone end by themselves; the next one's wait for them.
        process = workspace.begin(*COMMAND)
        done["starts"] += 1


def results(workspace: Workspace) -> dict[str, bytes]:
    folder = workspace.folder / "results"
    paths = [folder / "evaluation.parquet", folder / "per_class.parquet"]
    paths += itertools.chain.from_iterable(folder.glob(f"runs/**/{name}") for name in FILES)
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--runs", type=int, default=200, help="an even number; those of ten have five losses (200)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the kills (0)")
    parser.add_argument("--pause", type=float, help="seconds between kills; by default two runs' time")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        spaces = {name: Workspace.create(place / name) for name in ("quiet", "soak")}
        for workspace in spaces.values():
            (workspace.folder / "config/config.yaml").write_text(yaml.safe_dump(configuration(args.runs)))
        began = time.monotonic()
        code = spaces["quiet"].begin(*COMMAND).wait()
        if code:
            sys.exit((spaces["quiet"].folder / "snakemake.err").read_text())
        quiet = time.monotonic() - began
        expected = results(spaces["quiet"])
        print(f"in quiet: {args.runs} runs, {len(expected)} files, {quiet:.0f} s", flush=True)
        began = time.monotonic()
        done = soak(spaces["soak"], args.pause or 2 * quiet / args.runs, random.Random(args.seed))  # noqa: S311
        found = results(spaces["soak"])
        for name, count in sorted(done.items()):
            print(f"{name}: {count}", flush=True)
        different = sorted(name for name in expected | found if expected.get(name) != found.get(name))
        print(f"{len(found)} files, {len(different)} of them different, {time.monotonic() - began:.0f} s")
        sys.exit(f"different: {different}" if different else 0)


if __name__ == "__main__":
    main()
