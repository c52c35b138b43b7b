"""Dry runs of Snakemake in children of one process that has imported it: half the time of a new process each.

The library is imported by each child, from the folder whose plan it makes.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path


def plan(folder: Path, *words: str) -> tuple[int, str]:
    """The exit code of `snakemake -n WORDS` in a folder, and all that it prints."""
    server = _server()
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as printed:
        server.stdin.write(json.dumps([str(folder), printed.name, *words]) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        return code, printed.read()


@cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    atexit.register(server.communicate)  # which ends its input, and so itself
    return server


def _serve() -> None:
    """Answer each line of standard input (a folder, a file for what is printed, words) by the exit code of a child."""
    from snakemake.cli import get_argument_parser, main

    get_argument_parser()  # imports the plugins
    for line in sys.stdin:
        folder, printed, *words = json.loads(line)
        child = os.fork()
        if child:
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
            continue
        code = 70  # where Snakemake itself fails
        try:
            os.chdir(folder)
            file = os.open(printed, os.O_WRONLY)
            os.dup2(file, 1)
            os.dup2(file, 2)
            sys.argv[1:] = ["-n", *words]  # which the rules look at
            main(sys.argv[1:])
        except SystemExit as end:
            code = end.code or 0
        except Exception:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)


if __name__ == "__main__":
    _serve()
