"""One file from the network or from this machine, checked before it gets its name."""

import hashlib
import re
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import requests
import urllib3
from filelock import FileLock
from tqdm import tqdm

from longtail.files.atomic import atomic_path, move_into_place, writing
from longtail.settings import SCHEME, local_file

BLOCK_BYTES = 1 << 20
SLOWEST_BYTES_PER_SECOND = 1024
RETRIED_STATUS = {408, 425, 429, 500, 502, 503, 504}


class DownloadError(Exception):
    """No address gave the file. The message says why for each address, and what to do."""


class _Refused(Exception):
    """An address failed for a reason that a second attempt cannot change."""


class _Interrupted(Exception):
    """An attempt failed for a reason that may pass."""


def download(
    urls: Sequence[str],
    sha256: str,
    output: str | Path,
    *,
    attempts: int = 5,
    timeout: float = 30.0,
    pause: float = 1.0,
) -> None:
    """Fetch the one file that has this SHA-256; `output` appears whole and checked, or not at all.

    The addresses are tried in turn, in several rounds. What has arrived stays in a `.part` file beside `output`
    and is continued, also by a later call and from another address. Processes that want the same `output` wait
    for each other. An `output` that is already right is left alone.

    Args:
        urls: `http:`, `https:` or `file:` addresses, or paths; local files are copied.
        sha256: the hexadecimal hash of the whole file.
        attempts: rounds over the addresses.
        timeout: seconds without an answer, or with less than 1 KiB/s, until an attempt is given up.
        pause: seconds before the second round. It doubles with each further one.

    Raises:
        DownloadError: no address gave the file.
        OSError: `output` or its `.part` could not be written. Names it.
        ValueError: `sha256` is no SHA-256, or there is no address.
    """
    if not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ValueError(f"sha256 must be 64 hexadecimal digits, found {sha256!r}")
    if not urls:
        raise ValueError("there is no address to fetch from; give at least one url")
    output, sha256 = Path(output), sha256.lower()
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(f"{output.name}.{sha256[:12]}.part")
    with FileLock(output.with_name(f".{output.name}.lock")):
        if output.is_file() and _sha256(output) == sha256:
            return
        if part.is_file() and _sha256(part) == sha256:  # A kill came between the last byte and the new name.
            _rename(part, output)
            return
        failures = _fetch_in_rounds(urls, sha256, part, output, attempts, timeout, pause)
        if failures:
            raise DownloadError(_explanation(failures, sha256, part, output))


def _fetch_in_rounds(
    urls: Sequence[str], sha256: str, part: Path, output: Path, attempts: int, timeout: float, pause: float
) -> dict[str, str]:
    """Try the addresses in rounds, and return the last failure of each; nothing, once an address gave the file."""
    failures: dict[str, str] = {}
    waiting = list(dict.fromkeys(urls))
    for attempt in range(attempts):
        if attempt and waiting:
            time.sleep(pause * 2 ** (attempt - 1))
        for url in list(waiting):
            try:
                _fetch_checked(url, sha256, part, output, timeout)
                return {}
            except _Refused as error:
                failures[url] = str(error)
                waiting.remove(url)
            except _Interrupted as error:
                failures[url] = f"{error} (attempt {attempt + 1} of {attempts})"
            print(f"{output.name}: {_shown(url)}: {failures[url]}", file=sys.stderr, flush=True)
    return failures


def _fetch_checked(url: str, sha256: str, part: Path, output: Path, timeout: float) -> None:
    """Get the file from one address, and give it its name once its hash is right."""
    try:
        local = local_file(url)
    except ValueError as error:
        raise _Refused(str(error)) from None
    if local is not None:
        _copy_checked(local, sha256, output)
        part.unlink(missing_ok=True)
        return
    continued = part.is_file()
    try:
        _fetch(url, part, timeout)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _Interrupted(_innermost(error).replace(url, _shown(url))) from error
    found = _sha256(part)
    if found == sha256:
        _rename(part, output)
        return
    refusal = _other_content(part, found)
    part.unlink()
    if continued:
        raise _Interrupted("what was continued does not have the expected hash; it starts anew")
    raise refusal


def _fetch(url: str, part: Path, timeout: float) -> None:
    """Append to `part` what it lacks, or write it anew where the server gives only the whole file."""
    start = part.stat().st_size if part.is_file() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
        if start and response.status_code == 416:
            part.unlink()
            raise _Interrupted(
                f"it has no more than the {start:,} bytes already here, which are wrong; starts anew"
            )
        if response.status_code not in (200, 206):
            failure = _Interrupted if response.status_code in RETRIED_STATUS else _Refused
            raise failure(f"HTTP {response.status_code} {response.reason}")
        # If a server gives another range than it was asked for, the hash shows it.
        _write(response, part, start if response.status_code == 206 else 0, timeout)


def _write(response: requests.Response, part: Path, start: int, timeout: float) -> None:
    length = response.headers.get("Content-Length", "")
    total = start + int(length) if length.isdecimal() else None
    blocks = _blocks(response, timeout)
    first = next(blocks, b"")
    if start == 0 and first.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        # This is a log-in page of the network, or the mirror has moved. The bytes that are here already must be kept.
        raise _Refused("a web page (HTML) came instead of the file")
    name = part.name.removesuffix(".part").rpartition(".")[0]
    try:
        with part.open("ab" if start else "wb") as file, closing(_Progress(name, start, total)) as progress:
            while first:
                file.write(first)
                progress.advance(len(first))
                first = next(blocks, b"")
    except OSError as error:  # This is an error of the disk: those of the network are of urllib3's types.
        raise OSError(error.errno, f"{part} could not be written: {error.strerror}", str(part)) from error


def _blocks(response: requests.Response, timeout: float) -> Iterator[bytes]:
    """The body as it arrives. It is not decoded, because some servers declare a .gz file as a compressed .tar."""
    begin, received = time.monotonic(), 0
    while block := response.raw.read1(BLOCK_BYTES, decode_content=False):
        yield block
        received += len(block)
        if time.monotonic() - begin > timeout:
            if received < SLOWEST_BYTES_PER_SECOND * timeout:
                raise _Interrupted(f"only {received:,} bytes came in {timeout:.0f} s")
            begin, received = time.monotonic(), 0


class _Progress:
    """A bar on a terminal, or a line every ten seconds elsewhere, such as in a log file."""

    def __init__(self, name: str, start: int, total: int | None) -> None:
        self._bar = tqdm(desc=name, initial=start, total=total, unit="B", unit_scale=True, disable=None)
        self._name, self._done, self._total, self._printed = name, start, total, time.monotonic()

    def advance(self, count: int) -> None:
        self._done += count
        self._bar.update(count)
        if self._bar.disable and time.monotonic() - self._printed > 10:
            self._print()

    def close(self) -> None:
        self._bar.close()
        if self._bar.disable:
            self._print()

    def _print(self) -> None:
        self._printed = time.monotonic()
        total = "" if self._total is None else f" of {self._total / 1e6:.1f}"
        print(f"{self._name}: {self._done / 1e6:.1f}{total} MB", file=sys.stderr, flush=True)


def _copy_checked(source: Path, sha256: str, output: Path) -> None:
    """Copy, then check the copy, so that the bytes that were checked are the bytes that are kept.

    A link in place of a copy would not do, since the content of the file behind it could change later."""
    try:
        reading = source.open("rb")
    except OSError as error:
        raise _Refused(f"it cannot be read: {error.strerror}") from error
    with reading, atomic_path(output) as temporary:
        with temporary.open("wb") as copy:
            shutil.copyfileobj(reading, copy)
        if (found := _sha256(temporary)) != sha256:
            raise _other_content(temporary, found)


def _other_content(path: Path, sha256: str) -> _Refused:
    return _Refused(f"found {path.stat().st_size:,} bytes with the SHA-256 {sha256}")


def _rename(part: Path, output: Path) -> None:
    with writing(output):  # Where that fails, the part is kept, as it took minutes to fetch.
        move_into_place(part, output)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _innermost(error: BaseException) -> str:
    """The first cause, since the outer messages repeat the address, with any password or token in it."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return f"{type(error).__name__}: {error}"


def _shown(url: str) -> str:
    """The address without what may be secret: user, password and query."""
    if SCHEME.match(url) is None:
        return url
    return re.sub("//[^/]*@", "//", re.split("[?#]", url)[0])


def _explanation(failures: dict[str, str], sha256: str, part: Path, output: Path) -> str:
    lines = [f"{output.name} (SHA-256 {sha256}) could not be fetched:"]
    lines += [f"  {_shown(url)}: {reason}" for url, reason in failures.items()]
    if part.is_file():
        lines.append(
            f"The {part.stat().st_size:,} bytes in {part} are kept; the same command continues there."
        )
    lines.append(
        f"Or fetch the file elsewhere and put it at {output}, or give its path instead of the address."
    )
    return "\n".join(lines)
