"""The second start of Snakemake after a failure, which shows the runs that are finished and the others as missing."""

import subprocess
import sys
from collections.abc import Sequence
from typing import Any


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
    """Run the second Snakemake and wait for it. It is a job of this one: it ends with it, and shares its lock."""
    print("Some jobs failed. Making what the finished runs can show:", file=sys.stderr, flush=True)
    # -P: the modules beside this file must not stand in for those of packages.
    command = [sys.executable, "-P", __file__, "--nolock", "--retries=0", *partial_words(words)]
    subprocess.run(command, check=False)


def unforced(args: Any) -> Any:
    """The arguments as Snakemake has read them, without what forces jobs, however it was written."""
    args.force = args.forceall = False
    args.forcerun = set()
    return args


def main() -> None:
    """Be Snakemake, but force nothing: what the command forces, the first start has done already."""
    from snakemake.cli import args_to_api, parse_args
    from snakemake.exceptions import print_exception

    try:
        parser, args = parse_args(sys.argv[1:])
        success = args_to_api(unforced(args), parser)
    except Exception as error:
        print_exception(error)
        success = False
    sys.exit(0 if success else 1)


if __name__ == "__main__":
    main()
