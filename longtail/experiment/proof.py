"""What every finished file was made with, on disk beside it, so that it travels with the data.

Snakemake keeps its record of finished jobs in the folder where it works. That record is gone in a second clone, and is
wrong where results were copied over others. So each job leaves a proof in the folder `.made` beside its outputs: its
key, and what its files look like. A plan compares the key with the present one and the proof with the files, whatever
Snakemake remembers. What is not proven is made again.

Outputs in storage have their proofs in storage, in the same place beside them, and a copy where jobs have their files.
The copy is read first, and what is in storage only where the copy does not prove the files that are there.
"""

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from longtail.experiment.contents import content_hash, ends_hash, remembered
from longtail.experiment.record import read_record
from longtail.experiment.runs import MODEL, RECORD
from longtail.experiment.storage import fetched, is_there, stored_object
from longtail.files.atomic import write_text
from longtail.files.regular import read_bytes
from longtail.files.sealed_json import SEAL, seal, unseal

if TYPE_CHECKING:
    from longtail.experiment.keys import Keys

FOLDER = ".made"
FETCHED_BEFORE = Path(".snakemake/longtail.storage.json")
"""The hashes of the ends of files in storage, by name, size and time, so that none is fetched twice for it."""
PACKAGES = ("torch", "torchvision", "timm")
"""The packages whose versions can change what a run learns."""


class Proof(NamedTuple):
    """What a job leaves beside its outputs."""

    key: str
    """The key of the job."""
    files: dict[str, tuple[list[int], str]]
    """By name: size, mtime and ctime in ns, by which an untouched file is known at once; and the hash of its ends.

    Of a file in storage, size and mtime are those that storage says, and the hash is empty where no copy was here.
    """
    by: list[str]
    """The configuration's files, relative to this folder."""
    packages: dict[str, str]
    """The versions that a run was trained with."""


@cache
def packages_here() -> dict[str, str | None]:
    """The versions of the packages that can change what a run learns, by name; found without importing them."""
    found: dict[str, str | None] = dict.fromkeys(PACKAGES)
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


class Proofs:
    """The proofs of the files that a configuration makes.

    Args:
        configuration: its files, of which the proofs keep the names.
        trained_anew: whether a run that another version of a package trained counts as stale.
        keep: is told the key of each job that has finished, and its rule with the seconds that it took; None for these
            where the seconds are not known.

    Attributes:
        asked: outputs that are made anew whatever their proof says, since what is shown while they are made is wanted.
    """

    def __init__(
        self,
        configuration: Sequence[str | Path] = (),
        trained_anew: bool = False,
        keep: Callable[[str, tuple[str, float] | None], object] = lambda key, took: None,
    ):
        self.keep = keep
        self.configuration = [os.path.realpath(path) for path in configuration]
        self.trained_anew = trained_anew
        self.asked: set[str] = set()
        self._read: dict[str, Proof | None] = {}
        self._fetched: set[str] = set()

    def write(self, outputs: Sequence[str | Path], key: str, *, here: bool = False) -> None:
        """Say that a job of this key has made these files.

        Args:
            here: the job ran on this machine. Of a file in storage that no other job reads, Snakemake has removed the
                copy by now, and it is fetched to look at it; what pods have made is not.

        Raises:
            OSError: the proof could not be written.
        """
        place, real = _place(outputs), os.path.realpath(Path(outputs[0]).parent)
        record = next((path for path in outputs if _name(str(path)) == RECORD), None)
        left = {}
        if stored_object(outputs[0]) is None:
            # What an earlier job of this name has made besides stays known as made, so that it can be put aside.
            earlier = self.read(outputs)
            known = earlier.files if earlier else {}
            left = {name: own for name, own in known.items() if Path(real, name).is_file()}
        made = {}
        for path in outputs:
            state = _state(path)
            made[_name(str(path))] = (state, _ends_here(path) or (_ends(path, state) if here else ""))
        proof = Proof(
            key,
            left | made,
            [os.path.relpath(path, real) for path in self.configuration],
            _trained_with(record) if record else {},
        )
        write_text(place, seal(proof._asdict()))
        if stored := _stored_proof(outputs):
            stored.store_object()
        self._read.pop(place, None)

    def read(self, outputs: Sequence[str | Path]) -> Proof | None:
        """The proof of the job that makes these files; None: there is none, or a damaged one."""
        place = _place(outputs)
        if place not in self._read:
            self._read[place] = _proof_in(place)
            if self._read[place] is None:
                self._fetch(outputs)
        return self._read[place]

    def doubt(self, outputs: Sequence[str | Path], key: str) -> str | None:
        """Why these files are not known to be those of this key; None: they are, as far as they are there."""
        doubt = self._doubt(outputs, key)
        # Another machine may have made them since the copy of their proof was written.
        return self._doubt(outputs, key) if doubt and self._fetch(outputs) else doubt

    def _fetch(self, outputs: Sequence[str | Path]) -> bool:
        """Whether storage has a proof of these files, which was not fetched before; it is read from now on."""
        place, stored = _place(outputs), _stored_proof(outputs)
        if stored is None or place in self._fetched:
            return False
        self._fetched.add(place)
        if not stored.exists():
            return False
        with fetched(stored) as copy:
            write_text(place, read_bytes(copy).decode(errors="replace"))
        self._read[place] = _proof_in(place)
        return True

    def _doubt(self, outputs: Sequence[str | Path], key: str) -> str | None:
        if not self.asked.isdisjoint(map(str, outputs)):
            return "asked for by name"
        proof = self.read(outputs)
        if proof is None and not any(map(_exists, outputs)):
            return None
        if proof is None:
            return "nothing says what it was made with"
        if proof.key != key:
            return f"made with other settings, code or data (key {proof.key})"
        for path in outputs:
            state, ends = proof.files.get(_name(str(path)), ([], ""))
            with suppress(FileNotFoundError):
                if (found := _state(path)) != state and (not is_there(path) or _ends(path, found) != ends):
                    return f"{_name(str(path))} is not the file that was made"
        if self.trained_anew and (others := self.other_versions(proof)):
            return f"trained with {others}"
        return None

    def other_versions(self, proof: Proof) -> str:
        """The packages of other versions that a run was trained with; empty: those of here."""
        here = packages_here()
        others = {name: own for name, own in proof.packages.items() if own != here.get(name)}
        return ", ".join(f"{name} {own} (here {here.get(name)})" for name, own in others.items())

    def notes(self, keys: "Keys", file: Callable[[str], str] = str) -> Iterator[str]:
        """What a user should know of the results that are there: whose they are, and what made them.

        Args:
            file: what Snakemake calls a file. Of results in storage, only the tables of all runs are looked at, since
                each file would be asked for.
        """
        jobs = keys.jobs
        results = jobs.config.paths.results
        runs = [f"{results}/runs/{run}/{MODEL}" for run in jobs.runs]
        key_of: dict[str, Callable[[], str]] = {}
        if stored_object(file(runs[0])) is None:
            key_of = {path: partial(keys.model, run) for path, run in zip(runs, jobs.runs, strict=True)}
        key_of |= {
            f"{results}/data/split.parquet": keys.split,
            f"{results}/evaluation.parquet": keys.evaluation,
        }
        unknown: list[str] = []
        others: dict[tuple[str, str], list[str]] = defaultdict(list)
        versions: Counter[str] = Counter()
        for path, key in key_of.items():
            proof = self.read([own := file(path)])
            if proof is None:
                unknown += [path] if is_there(own) else []
            elif proof.key == key():
                versions[self.other_versions(proof)] += 1
            elif other := self._other_configuration(Path(own).parent, proof):
                others[other].append(path)
        if unknown:
            yield (
                f"nothing says what {unknown[0]}{_and_more(unknown)} was made with, so it is made again with all that "
                "depends on it. If it is of these settings and this code, say so by: snakemake --touch"
            )
        for (theirs, this), paths in others.items():
            yield (
                f"{results} holds results of another configuration, {theirs}: {paths[0]}{_and_more(paths)}. This one, "
                f"{this}, replaces them. To keep both, give one of them a paths.results of its own"
            )
        del versions[""]
        for version_there, count in versions.items():
            what = "are trained again (versions: note keeps them)"
            if not self.trained_anew:
                what = "count all the same (versions: stale has them trained again)"
            yield f"{count} of {len(runs)} runs were trained with {version_there}, and {what}"

    def _other_configuration(self, folder: Path, proof: Proof) -> tuple[str, str] | None:
        """Names the configuration that made the files in a folder, and this one; None if they are one.

        A configuration that is there no longer may have been renamed, and so may be this one.
        """
        theirs = [os.path.realpath(folder.resolve() / path) for path in proof.by]
        if theirs in ([], self.configuration) or not all(map(os.path.isfile, theirs)):
            return None
        return _shown(theirs), _shown(self.configuration)


def made_files(place: Path) -> Iterator[Path]:
    """The files that a proof names and that are still as they were made."""
    proof = _proof_in(str(place))
    for name, (_, ends) in proof.files.items() if proof else ():
        path = place.parents[1] / name
        if path.is_file() and not path.is_symlink() and ends_hash(path) == ends:
            yield path


def made_together(path: Path, other: Path) -> bool:
    """Whether it is proven that one job made these two files, as they are now; the proof goes by the first one."""
    proof = _proof_in(_place([path]))
    return proof is not None and all(
        one.is_file() and proof.files.get(one.name, ([], ""))[1] == ends_hash(one) for one in (path, other)
    )


def with_proofs(record: type[Any], proofs: Proofs) -> type[Any]:
    """Snakemake's record of finished jobs, of this class, where the jobs that have a key are judged by their proofs.

    Times and checksums of inputs count no longer for a job that is proven, since its key holds the keys of all jobs
    before it.
    """

    begun: dict[Any, float] = {}

    class Proven(record):
        def started(self, job: Any, *others: Any) -> None:
            super().started(job, *others)
            if self.dag.workflow.is_local(job.rule):  # on a cluster, it would wait in the queue first
                begun[job] = time.monotonic()

        async def finished(self, job: Any) -> None:
            await super().finished(job)
            took = (job.rule.name, time.monotonic() - begun.pop(job)) if job in begun else None
            # Snakemake ends failed jobs here, too, before it deletes what they left.
            if self.dag.workflow.is_main_process and _is_judged(job) and all(map(is_there, job.output)):
                proofs.keep(job.params.key, took)
                proofs.write(job.output, job.params.key, here=took is not None)

        def has_metadata(self, job: Any) -> bool:
            return _is_judged(job) or super().has_metadata(job)

        def has_outdated_metadata(self, job: Any) -> bool:
            return not _is_judged(job) and super().has_outdated_metadata(job)

        def params_changed(self, job: Any, file: Any = None) -> Any:
            if not _is_judged(job):
                return super().params_changed(job, file)
            from snakemake.persistence import ParamsChange

            doubt = proofs.doubt(job.output, job.params.key)
            if doubt is None:
                return ParamsChange()
            files = {file} if file is not None else set(job.output)
            return ParamsChange(only_old={doubt}, only_new={f"key {job.params.key}"}, files=files)

        def input_changed(self, job: Any, file: Any = None) -> Any:
            if not _is_judged(job):
                return super().input_changed(job, file)
            return iter(()) if file is None else False

        def input_checksums(self, job: Any, input_path: Any) -> set[Any]:
            digest = None
            if _is_judged(job) and proofs.doubt(job.output, job.params.key) is None:
                digest = content_hash(str(input_path))
            return {f"sha256:{digest}"} if digest else super().input_checksums(job, input_path)

    return Proven


def _is_judged(job: Any) -> bool:
    return "key" in job.params.keys()  # noqa: SIM118


def _shown(configuration: Sequence[str]) -> str:
    """The files of a configuration, without the one that all begin with where there are others."""
    paths = [path for path in configuration if not path.endswith("/config/config.yaml")] or configuration
    return " and ".join(os.path.relpath(path) for path in paths)


def _and_more(paths: Sequence[str]) -> str:
    return f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""


# A plan asks these of each of thousands of files, for which objects of paths would be slow.


def _place(outputs: Sequence[str | Path]) -> str:
    """Where the proof of a job lies."""
    folder, _, name = str(outputs[0]).rpartition("/")
    return f"{folder or '.'}/{FOLDER}/{name}.json"


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _proof_in(place: str) -> Proof | None:
    with suppress(OSError, ValueError, TypeError, AttributeError):
        text = read_bytes(place)
        content = unseal(text, place)
        content.pop("inputs", None)  # which earlier proofs held
        found = Proof(**content)
        files = {name: (list(map(int, state)), str(ends)) for name, (state, ends) in found.files.items()}
        packages = {str(name): str(own) for name, own in found.packages.items()}
        if SEAL.encode() in text:
            return Proof(str(found.key), files, list(map(str, found.by)), packages)
    return None


def _exists(path: str | Path) -> bool:
    return os.path.exists(path) if stored_object(path) is None else is_there(path)  # noqa: PTH110


def _state(path: str | Path) -> list[int]:
    """What the file system or storage says of a file.

    Raises:
        FileNotFoundError: it is not there.
    """
    stored = stored_object(path)
    if stored is None:
        stat = os.stat(path)  # noqa: PTH116
        return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
    known = path.rule.workflow.iocache  # type: ignore[union-attr]  # what Snakemake asked for already
    if path not in known.mtime and not stored.exists():
        raise FileNotFoundError(stored.query)
    mtime = known.mtime[path].storage() if path in known.mtime else stored.mtime()
    return [known.size[path] if path in known.size else stored.size(), round(mtime * 1e9)]


def _ends(path: str | Path, state: list[int]) -> str:
    """The `ends_hash` of a file; that of one in storage is kept, since it has to be fetched for it."""
    stored = stored_object(path)
    if stored is None:
        return ends_hash(path)
    name, known = f"{stored.query} {state}", _fetched_before()
    if name not in known:
        with fetched(stored) as copy:
            known[name] = ends_hash(copy)
    return known[name]


@cache
def _fetched_before() -> dict[str, str]:
    return remembered(FETCHED_BEFORE.absolute(), "", str)


def _ends_here(path: str | Path) -> str:
    """The `ends_hash` of a file that a job has just read or made; empty: another machine has, and no copy is here."""
    return ends_hash(path) if stored_object(path) is None or os.path.isfile(path) else ""  # noqa: PTH113


def _stored_proof(outputs: Sequence[str | Path]) -> Any | None:
    """Snakemake's object of the proof of these files; None: they are on the disk."""
    stored = stored_object(outputs[0])
    if stored is None:
        return None
    folder, _, name = stored.query.rpartition("/")
    return stored.provider.object(f"{folder}/{FOLDER}/{name}.json")


def _trained_with(record: str | Path) -> dict[str, str]:
    """The versions in the record of a run; empty where it names none."""
    stored = None if os.path.isfile(record) else stored_object(record)  # noqa: PTH113
    with suppress(ValueError), fetched(stored) if stored else nullcontext(Path(record)) as copy:
        found = read_record(copy).packages
        return {name: own for name in PACKAGES if (own := found.get(name))}
    return {}
