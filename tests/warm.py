"""Snakemake and Python in children of a process that has imported their libraries: each costs its own work and no more.

All workers of a test run share this process, which ends with the run; where there are several, they are children of
it too. A child gets the folder, the words, the environment and the standard streams of whoever asks. It imports the
modules of this project itself, from the folder it works in. A workflow that runs for real finds `warm_python.py` as
`python`, so its jobs run like that as well.

What only a new process shows (a seed of hashes, a kill, several ranks, what planning imports) is tested with one.
"""

import atexit
import contextlib
import ctypes
import fcntl
import gc
import importlib
import io
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
import types
from pathlib import Path

from warm_python import DIED, PLACE, ask

LIBRARIES = (
    *("snakemake.cli", "smart_open", "requests", "torch", "torch._dynamo", "torchvision", "timm"),
    *(
        "safetensors.torch",
        "pydantic",
        "pandas",
        "pyarrow.parquet",
        "pyarrow.dataset",
        "pyarrow.pandas_compat",
    ),
    *(
        "markdown_it",
        "scipy.stats",
        "sklearn.metrics",
        "statsmodels.api",
        "seaborn",
        "matplotlib.backends.backend_agg",
    ),
)


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
        given = {**os.environ, PLACE: str(place()), "CUDA_VISIBLE_DEVICES": "", **environment}
        code = ask(words, str(folder), given, os.getpid(), streams)
        printed = [(file.seek(0), file.read())[1] for file in (out, err)]
    return subprocess.CompletedProcess(words, code, *printed)


def place() -> Path:
    """The folder with the socket of this test run's server, which is started here, and the `python` of its jobs."""
    if PLACE not in os.environ:
        # Not by the number of this process, since a run that was killed may have left a folder of that name.
        name, prefix = os.environ.get("PYTEST_XDIST_TESTRUNUID"), "longtail-tests-"
        folder = Path(tempfile.gettempdir()) / f"{prefix}{name}" if name else tempfile.mkdtemp(prefix=prefix)
        os.environ[PLACE] = str(folder)
    folder = Path(os.environ[PLACE])
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "socket").exists():
            client = Path(__file__).with_name("warm_python.py")
            (folder / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" -ISs "{client}" "$@"\n')
            (folder / "python").chmod(0o755)
            # Workers end one after the other, and then the process that started them.
            last = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
            _start(folder, last)
    return folder


def _start(folder: Path, last: int) -> None:
    with socket.socket(socket.AF_UNIX) as listener, (folder / "log").open("w") as log:
        listener.bind(str(folder / "socket"))
        listener.listen(100)
        subprocess.Popen(
            [sys.executable, __file__, str(listener.fileno()), str(last)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[listener.fileno()],
            start_new_session=True,
        )


def _serve(listener: socket.socket, last: int) -> None:
    """Fork a child for every request until that process, the test run, has ended."""
    gc.disable()  # all that is imported stays, and to look for garbage among it takes a quarter of this time
    for name in LIBRARIES:
        importlib.import_module(name)
    sys.modules["snakemake.cli"].get_argument_parser()  # imports the plugins
    with sys.modules["matplotlib"].rc_context({"pdf.fonttype": 42}):
        figure = sys.modules["matplotlib.figure"].Figure()
        figure.text(0, 0, "A figure imports more only when it is written, much of it for its fonts.")
        for kind in ("pdf", "png"):
            figure.savefig(io.BytesIO(), format=kind)
    sys.modules["pandas"].DataFrame().to_latex()  # compiles templates
    os.fsync = lambda descriptor: None  # as in conftest.py
    atexit._clear()  # a child does at its end what it has asked for itself, as keeping what it found in the code
    gc.freeze()  # a child that looks for garbage would copy these pages
    gc.enable()
    _use_huge_pages()
    listener.settimeout(1)
    while True:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            if not Path(f"/proc/{last}").exists():
                shutil.rmtree(os.environ[PLACE])
                return
            continue
        if os.fork() == 0:
            _answer(connection)
        connection.close()


def _use_huge_pages() -> None:
    """Gather the memory of this process in pages of 2 MiB, where Linux can.

    A child gets a copy of the table of pages, which took two thirds of the time of its start and its end.
    """
    maps, size = Path("/proc/self/maps"), 2**21
    for line in maps.read_text().splitlines() if maps.exists() else ():
        place, rights, *_, name = line.split(" ", 5)
        if rights.startswith("rw") and name.strip() in ("", "[heap]"):
            first, last = (int(end, 16) // size * size for end in place.split("-"))
            length = max(0, last - first - size)
            # 25 is MADV_COLLAPSE, which Python does not name. An older kernel refuses it, and nothing is lost.
            ctypes.CDLL(None).madvise(ctypes.c_void_p(first + size), ctypes.c_size_t(length), 25)


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
        code = int(end.code) if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except (
        BaseException
    ):  # whatever it is, Python would print it and end with 1, and so does this stand-in for it
        traceback.print_exc()
        code = 1
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(str(code).encode())
        os._exit(code)


def _do(program: str, *words: str) -> int:
    sys.argv[1:] = words  # which the rules of the workflow look at
    if program == "snakemake":
        # Jobs that import nothing start sooner by themselves than as children of this large process.
        sys.executable = os.environ.get("PYTHON_OF_JOBS", str(Path(os.environ[PLACE]) / "python"))
        return sys.modules["snakemake.cli"].main(list(words)) or 0
    if words[0] == "-P":  # the Snakemake that shows the finished runs
        words, sys.executable = words[1:], str(Path(os.environ[PLACE]) / "python")
        sys.path.pop(0)
    elif words[0] == "-u":  # a worker of the tests
        words = words[1:]
    else:
        sys.path[0] = str(Path.cwd()) if words[0].startswith("-") else str(Path(words[0]).resolve().parent)
    first, *rest = words
    if first == "-c":
        sys.argv = ["-c", *rest[1:]]
        sys.modules["__main__"] = types.ModuleType("__main__")  # which the children of this process look for
        exec(compile(rest[0], "<string>", "exec"), vars(sys.modules["__main__"]))  # noqa: S102
    elif first == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(words)
        runpy.run_path(first, run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.path.pop(0)  # the folder of the tests
    _serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
