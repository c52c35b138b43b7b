"""A disk that fails at its n-th write, for real: the C library's own calls fail, whatever language makes them."""

import errno
import mmap
import os
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
ERRORS = {name: getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EIO", "EROFS")}
NUMBERS = "=qqqqq"  # calls, at, error, lasting, failed; then the folder


class FailingDisk:
    """Controls the disk under `folder` of every process that was started with `environment`."""

    def __init__(self, state: Path):
        self.state = state
        if not state.exists():
            state.write_bytes(bytes(struct.calcsize(NUMBERS) + 4096))
        with state.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)

    @staticmethod
    def compile(library: Path) -> None:
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True)

    def environment(self, library: Path) -> dict[str, str]:
        return {**os.environ, "LD_PRELOAD": str(library), "FAILING_DISK": str(self.state)}

    def watch(self, folder: Path) -> None:
        self._memory[struct.calcsize(NUMBERS) :] = os.fsencode(folder).ljust(4096, b"\0")

    def arm(self, at: int, error: int, *, lasting: bool) -> None:
        """Fail the `at`-th call from now, counted from 1; with `lasting`, all that follow too. 0: only count."""
        struct.pack_into(NUMBERS, self._memory, 0, 0, at, error, lasting, 0)

    def disarm(self) -> tuple[int, int]:
        """Work again; the calls since `arm`, and how many failed."""
        calls, *_, failed = struct.unpack_from(NUMBERS, self._memory)
        self.arm(0, 0, lasting=False)
        return calls, failed
