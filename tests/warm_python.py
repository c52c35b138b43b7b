"""What a tested workflow finds as `python`: the server of `warm.py` runs the command. This file imports little."""

import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence

PLACE = "LONGTAIL_TESTS_WARM"  # the variable of the environment that names the folder of the server
DIED = 70  # the exit code where a child ended without one, as by a signal


def ask(
    words: Sequence[str], folder: str, environment: Mapping[str, str], parent: int, streams: Sequence[int]
) -> int:
    """Have the server run a command, and wait for its exit code.

    Args:
        words: `snakemake` or `python`, and its arguments.
        parent: the process that the command takes for its parent.
        streams: standard input, output and error.
    """
    request = {"words": words, "folder": folder, "environment": dict(environment), "parent": parent}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(f"{environment[PLACE]}/socket")
        text = json.dumps(request).encode()
        socket.send_fds(connection, [f"{len(text):10}".encode()], streams)
        connection.sendall(text)
        return int(connection.recv(10) or DIED)


if __name__ == "__main__":
    given = sys.argv[1:]
    if given[:1] == ["-u"]:  # a worker, which pytest ends after Ctrl-C
        import signal

        signal.signal(signal.SIGINT, signal.SIG_IGN)
    command = ["snakemake", *given[2:]] if given[:2] == ["-m", "snakemake"] else ["python", *given]
    sys.exit(ask(command, os.getcwd(), os.environ, os.getppid(), [0, 1, 2]))  # noqa: PTH109
