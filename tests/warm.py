"""Snakemake and Python in children of a process that has imported their libraries: each costs its own work and no more.

All workers of a test run share this process, which ends with the run. A child gets the folder, the words, the
environment and the standard streams of whoever asks. It imports the modules of this project itself, from the folder it
works in. To a workflow that runs for real this file is `python`, so its jobs run like that as well.

What only a new process shows (a seed of hashes, a kill, several ranks, what planning imports) is tested with one.
"""

import contextlib
import fcntl
import gc
import importlib
import json
import os
import runpy
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

LIBRARIES = (
    *("snakemake.cli", "torch", "torch._dynamo", "torchvision", "safetensors.torch", "pydantic", "pandas"),
    *("pyarrow.parquet", "scipy.stats", "statsmodels.api", "seaborn", "matplotlib.backends.backend_agg"),
)
DIED = 70  # the exit code where a child ended without one, as by a signal
PLACE = "LONGTAIL_TESTS_WARM"  # the variable of the environment that names the folder of the server


def plan(folder: Path, *words: str) -> tuple[int, str]:
    """The exit code of `snakemake -n WORDS` in a folder, and all that it prints."""
    done = run(folder, "snakemake", "-n", *words, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def run(
    folder: Path, *words: str, stderr: int = subprocess.PIPE, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder as `subprocess.run` does, where there is no GPU; it is `snakemake` or `python`."""
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as out,
        tempfile.TemporaryFile("w+", encoding="utf-8") as err,
        open(os.devnull) as nothing,  # noqa: PTH123
    ):
        streams = [nothing.fileno(), out.fileno(), (out if stderr == subprocess.STDOUT else err).fileno()]
        given = {**os.environ, PLACE: str(_place()), "CUDA_VISIBLE_DEVICES": "", **environment}
        code = _ask(words, folder, given, os.getpid(), streams)
        printed = [(file.seek(0), file.read())[1] for file in (out, err)]
    return subprocess.CompletedProcess(words, code, *printed)


def _place() -> Path:
    """The folder with the socket of this test run's server, in which jobs find a `python`."""
    if PLACE not in os.environ:
        name = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid())
        os.environ[PLACE] = str(Path(tempfile.gettempdir()) / f"longtail-tests-{name}")
    place = Path(os.environ[PLACE])
    place.mkdir(exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "python").exists():
            (place / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" -ISs "{__file__}" "$@"\n')
            (place / "python").chmod(0o755)
            # Workers end one after the other, and then the process that started them.
            last = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
            (place / "last").write_text(str(last))
    return place


def _ask(
    words: Sequence[str], folder: Path, environment: Mapping[str, str], parent: int, streams: list[int]
) -> int:
    """Have the server run a command, and wait for its exit code. The server is started if there is none."""
    place = Path(environment[PLACE])
    path = place / "socket"
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _start(path)
    request = {"words": words, "folder": str(folder), "environment": dict(environment), "parent": parent}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        text = json.dumps(request).encode()
        socket.send_fds(connection, [f"{len(text):10}".encode()], streams)
        connection.sendall(text)
        return int(connection.recv(10) or DIED)


def _start(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, path.with_name("log").open("w") as log:
        listener.bind(str(path))
        listener.listen(100)
        subprocess.Popen(
            [sys.executable, __file__, "serve", str(listener.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[listener.fileno()],
            start_new_session=True,
        )


def _serve(listener: socket.socket) -> None:
    """Fork a child for every request until the test run has ended."""
    place = Path(os.environ[PLACE])
    test_run = Path("/proc") / (place / "last").read_text()
    for name in LIBRARIES:
        importlib.import_module(name)
    sys.modules["snakemake.cli"].get_argument_parser()  # imports the plugins
    gc.freeze()  # a child that looks for garbage would copy these pages
    listener.settimeout(1)
    while True:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            if not test_run.exists():
                shutil.rmtree(place)
                return
            continue
        if os.fork() == 0:
            _answer(connection)
        connection.close()


def _answer(connection: socket.socket) -> None:
    """Do what is asked for in this process, and end it."""
    code = DIED
    try:
        length, streams, _, _ = socket.recv_fds(connection, 10, 3)
        with connection.makefile("rb") as file:
            request = json.loads(file.read(int(length)))
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        # Whoever asks may be killed, and the child of a server would go on.
        threading.Thread(target=lambda: connection.recv(1) or os._exit(DIED), daemon=True).start()
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        os.getppid = lambda: request["parent"]  # this process stands for the one that asks
        code = _do(*request["words"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(str(code).encode())
        os._exit(code)


def _do(program: str, *words: str) -> int:
    sys.argv[1:] = words  # which the rules of the workflow look at
    if program == "snakemake":
        sys.executable = str(Path(os.environ[PLACE]) / "python")
        return sys.modules["snakemake.cli"].main(list(words)) or 0
    first, *rest = words
    sys.path[0] = str(Path.cwd()) if first.startswith("-") else str(Path(first).resolve().parent)
    if first == "-c":
        sys.argv = ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102
    elif first == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(words)
        runpy.run_path(first, run_name="__main__")
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        sys.path.pop(0)  # the folder of the tests
        _serve(socket.socket(fileno=int(sys.argv[2])))
    else:  # as the `python` of a workflow
        command = (
            ["snakemake", *sys.argv[3:]]
            if sys.argv[1:3] == ["-m", "snakemake"]
            else ["python", *sys.argv[1:]]
        )
        sys.exit(_ask(command, Path.cwd(), os.environ, os.getppid(), [0, 1, 2]))
