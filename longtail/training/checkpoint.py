"""The state of an unfinished run, kept so that being killed at any moment costs at most the current epoch.

A folder per run holds `current.state` and `previous.state`. A new state is written whole under another name and
synced to disk; then `current` becomes `previous` and the new one becomes `current`. Whatever moment the process
dies at, at least one of the two is whole, and a checksum tells which.
"""

import hashlib
import io
import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from longtail.files.atomic import move_into_place, write_text, writing

MAGIC = b"longtail state 1\n"
ANEW = "anew"
"""The file beside the states that says to forget them; see `longtail.experiment.forcing`."""


class StateFolder:
    """The states of one run.

    Args:
        folder: named after everything the run depends on, so that changed settings never meet an old state.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.current = self.folder / "current.state"
        self.previous = self.folder / "previous.state"
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="state-writer")
        self._pending: Future[None] | None = None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only process that works on this run. Where another one works on it, say which, and wait for it.

        The kernel drops the lock when its holder dies.
        """
        lock, holder = FileLock(self.folder / "lock"), self.folder / "holder"
        with writing(lock.lock_file):
            self.folder.mkdir(parents=True, exist_ok=True)
            with suppress(Timeout):
                lock.acquire(timeout=0)
        if not lock.is_locked:
            who = holder.read_text().strip() if holder.exists() else "an unknown process"
            told = f"{self.folder}: this run is being trained by {who}; waiting for it"
            print(told, file=sys.stderr, flush=True)
            lock.acquire()
        try:
            with writing(holder):
                holder.write_text(f"process {os.getpid()} on {socket.gethostname()}\n")
            self._forget_if_forced()
            yield
        finally:
            self.wait()
            lock.release()

    def _forget_if_forced(self) -> None:
        anew = self.folder / ANEW
        if anew.exists():
            print(f"{self.folder}: this run was forced; beginning at its first epoch", flush=True)
            with writing(self.folder):
                for path in (self.current, self.previous, self.folder / "progress.json"):
                    path.unlink(missing_ok=True)
                anew.unlink()  # the last, so that a kill before it leaves the rest to the next trainer

    def save(self, state: dict[str, Any]) -> None:
        """Write a state in the background; the tensors in it must not change any more.

        This waits for the state before. If that one could not be written, its error is raised here.
        """
        self.wait()
        self._pending = self._writer.submit(self._write, state)

    def wait(self) -> None:
        """Return when the last state is on disk.

        Raises:
            OSError: it could not be written; the states before it are untouched.
        """
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def load(self) -> dict[str, Any] | None:
        """The newest whole state, on the CPU; None where there is none. A damaged one is reported and not used."""
        for path in (self.current, self.previous):
            try:
                return read_state(path)
            except FileNotFoundError:
                continue
            except ValueError as error:
                print(f"{error}; falling back to the state before it", file=sys.stderr, flush=True)
        return None

    def report(self, **progress: Any) -> None:
        """Leave a note of the progress for people who watch; not needed to resume."""
        write_text(self.folder / "progress.json", json.dumps(progress))

    def _write(self, state: dict[str, Any]) -> None:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        payload = buffer.getbuffer()
        new = self.folder / "new.state"
        with writing(self.current):
            try:
                with new.open("wb") as file:
                    file.write(MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n")
                    file.write(payload)
                    file.flush()
                    os.fsync(file.fileno())
                if self.current.exists():
                    self.current.replace(self.previous)
                move_into_place(new, self.current)
            finally:
                with suppress(OSError):  # where the disk fails, the error that is on its way says more
                    new.unlink(missing_ok=True)


def read_state(path: Path) -> dict[str, Any]:
    """A state, after its checksum was found right.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is damaged or is no state.
    """
    content = path.read_bytes()
    head, payload = content[: len(MAGIC) + 65], memoryview(content)[len(MAGIC) + 65 :]
    if head != MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n":
        raise ValueError(f"{path} is damaged (its checksum does not match its content)")
    try:
        state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load's exceptions on foreign files are of many unrelated types.
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"{path} is damaged or not a state of this project ({reason})") from error
    if not isinstance(state, dict):
        raise ValueError(f"{path} is damaged or not a state of this project (a {type(state).__name__})")
    return state


def snapshot(value: Any) -> Any:
    """A copy on the CPU of a nested state, safe to write while training goes on."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: snapshot(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(snapshot(item) for item in value)
    return value


def random_state(device: torch.device, loss: torch.Generator) -> dict[str, torch.Tensor]:
    """The state of every generator that a training step may draw from: PyTorch's own, and that of the loss."""
    state = {"cpu": torch.get_rng_state(), "loss": loss.get_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(
    state: Mapping[str, torch.Tensor], device: torch.device, loss: torch.Generator
) -> None:
    """Set the generators to a state that `random_state` gave."""
    torch.set_rng_state(state["cpu"])
    loss.set_state(state["loss"])
    if "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
