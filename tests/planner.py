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
from pathlib import Path

CHILD_FAILED = 70


def plan(folder: Path, *words: str) -> tuple[int, str]:
    """The exit code of `snakemake -n WORDS` in a folder, and all that it prints."""
    server = _started()
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as printed:
        server.stdin.write(json.dumps([str(folder), printed.name, *words]) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        return code, printed.read()


_servers: list[subprocess.Popen[str]] = []


def _started() -> subprocess.Popen[str]:
    if not _servers:
        command = [sys.executable, __file__]
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        atexit.register(server.stdin.close)
        _servers.append(server)
    return _servers[0]


def _serve() -> None:
    """Answer each line of standard input, the words for `plan`, with the exit code of a child."""
    from snakemake.cli import get_argument_parser, main

    get_argument_parser()  # imports the plugins
    for line in sys.stdin:
        folder, printed, *words = json.loads(line)
        child = os.fork()
        if child:
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
            continue
        code = CHILD_FAILED
        try:
            os.chdir(folder)
            file = os.open(printed, os.O_WRONLY)
            os.dup2(file, 1)
            os.dup2(file, 2)
            sys.argv[1:] = ["-n", *words]  # which the rules look at
            main(sys.argv[1:])
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)


if __name__ == "__main__":
    _serve()
