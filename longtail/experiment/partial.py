"""The second start of Snakemake after a failure, which shows the runs that are finished and the others as missing."""

import subprocess
import sys
from collections.abc import Sequence


def partial_words(words: Sequence[str]) -> list[str]:
    """The arguments of a second Snakemake, which makes the same targets from the finished runs only.

    Snakemake heeds only the last `--config` of its command line, so `partial=true` joins that one.

    Args:
        words: the arguments of the Snakemake that failed, without its own name.
    """
    words = list(words)
    for position in reversed(range(len(words))):
        word = words[position]
        if word.startswith(("--config=", "-C")) or word == "--config":
            joined = word.removeprefix("--config").removeprefix("-C").removeprefix("=")
            first = [joined] if joined else []  # a setting may be written in one word with its option
            return [*words[:position], "--config", "partial=true", *first, *words[position + 1 :]]
    return ["--config", "partial=true", "--keep-going", *words]


def show_finished(words: Sequence[str]) -> None:
    """Run the second Snakemake and wait for it. Meanwhile the calling process holds the lock of the folder."""
    print("Some jobs failed. Making what the finished runs can show:", file=sys.stderr, flush=True)
    subprocess.run(
        [sys.executable, "-m", "snakemake", "--nolock", "--retries=0", *partial_words(words)], check=False
    )
