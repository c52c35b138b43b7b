"""Why a finished job is stale, in words such as "losses.focal.gamma 2.0 -> 3.0".

A key is a hash, which tells nothing. So what it was made of is kept when its job has finished, once for each key, in
the folder `logs/keys` of the results; the files of the code, which many jobs share, once for each fingerprint. No plan
of Snakemake reads them, only whoever asks for words.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from longtail.experiment.fingerprint import fingerprint, trees
from longtail.experiment.keys import START, TEACHER, Keys, Parts
from longtail.files.atomic import write_text
from longtail.files.regular import read_bytes
from longtail.files.sealed_json import seal, unseal

KEPT = "logs/keys"
UNKNOWN = "made with other settings, code or data; nothing here says which"
NEW = "not made yet"
MOST_NAMES = 3
MOST_LETTERS = 40
"""Letters of a value that are shown."""
SAMPLE = 1000
"""Finished jobs that are looked at, at most, for the time that jobs take."""
HASH = re.compile(r"[0-9a-f]{20,64}")
STALE = re.compile(r"before: (?P<doubt>.*?)(?: \(key (?P<old>\w+)\))? now: key (?P<new>\w+)")
"""What Snakemake says of a job whose proof is not of the present key, or not of its files."""
KEYS = {
    "images": {"": "data", "sha256": "data.*.sha256"},
    "subsets": {"": "data"},
    "split": {"": "data"},
    "groups": {"": "data"},
    "folder_images": {
        "files": "the collection",
        "content": "the collection",
        "settings": "data.image_folder",
    },
    "metadata": {"rows": "the rows of the metadata"},
    "run_list": {"": "grid", "seeds": "seeds"},
    "folder_split": {
        "": "data.image_folder",
        "seed": "data.seed",
        "classes": "data.classes",
        "frozen": "data.split.file",
    },
    "list_split": {"": "data.lists", "classes": "data.classes"},
    "fetch_weights": {"model": "models.{model}.architecture", "weights": "models.{model}.weights"},
    "train": {
        "": "losses.{loss}",
        "loss_parameters": "losses.{loss}",
        "recipe": "train",
        "retrain": "losses.{loss}.retrain.classifier",
        **{name: f"losses.{{loss}}.retrain.{name}" for name in ("classifier_rate", "shift_norms")},
        "architecture": "models.{model}.architecture",
        "resize": "data.image_folder.resize",
        "pad_with": "data.image_folder.pad_with",
        "files": "the file",
    },
    "adjust": {"": "variants.{loss}"},
    "predict": {"": "predict"},
    "statistical_analysis": {"": "statistics", "data_seed": "data.seed"},
    "index": {"settings": ""},
}
"""What the configuration calls the settings of a job, by the first of their names; "" stands for all others."""


def keep(key: str, results: Path, took: tuple[str, float] | None = None) -> None:
    """Keep what a key of this process was made of, and the keys before it.

    Args:
        took: what Snakemake calls the rule of the job that has this key, and the seconds that it took.

    Raises:
        OSError: it could not be written.
    """
    folder = results / KEPT
    waiting = [key]
    while waiting:
        one = waiting.pop()
        path, parts = folder / f"{one}.json", Keys.parts.get(one)
        if parts is None or (one != key and path.exists()):
            continue
        code = fingerprint(*parts.code)
        if not (listing := folder / f"code-{code}.json").exists():
            write_text(listing, seal({"files": dict(trees(*parts.code))}))
        content = {"rule": parts.rule, "code": code, "settings": parts.settings, "upstream": parts.upstream}
        write_text(path, seal(content | ({"took": took} if one == key and took else {})))
        waiting += parts.upstream.values()


class Reasons:
    """What has changed since jobs were done.

    Args:
        results: the folder of the results.
    """

    def __init__(self, results: Path):
        self.folder = results / KEPT

    def of(self, told: str, own: bool) -> tuple[str, ...]:
        """Why a job would run, by the reason that Snakemake gives.

        Args:
            own: only what is the job's own, and not of the jobs before it.
        """
        if found := STALE.search(told):
            if found["old"]:
                return self.changes(found["old"], found["new"], own)
            return (re.sub(r"^trained with (.*)$", _arrows, found["doubt"]),)
        for begin, words in (("Forced", "forced"), ("Missing output", NEW)):
            if told.startswith(begin):
                return (words,)
        if told.startswith("Incomplete"):
            return ("interrupted while it was made",)
        # What follows from other jobs is no reason of its own, and of newer inputs a key says more.
        follows = ("Input files updated by",) if own else ("Input files updated by", "Updated input files")
        others = [part for part in told.split("; ") if not part.startswith(follows)]
        return tuple(part.partition(":")[0].lower() for part in others)

    @cache  # noqa: B019
    def changes(self, old: str, new: str, own: bool = False) -> tuple[str, ...]:
        """How the key of a finished job and its present one differ, as short phrases, each once."""
        before, now = self._kept(old), Keys.parts.get(new)
        if before is None or now is None:
            return (UNKNOWN,)
        found = [*self._code(before["code"], now), *_settings(before["settings"], now)]
        if not own:
            found += self._upstream(before["upstream"], now.upstream)
        return tuple(dict.fromkeys(found))

    def seconds(self) -> dict[str, float]:
        """The median time that finished jobs of each rule took here, in seconds."""
        found: dict[str, list[float]] = {}
        keys = (path for path in self.folder.glob("*.json") if not path.name.startswith("code-"))
        for path in sorted(keys)[:SAMPLE]:
            match (self._kept(path.stem) or {}).get("took"):
                case [str(rule), float(seconds)]:
                    found.setdefault(rule, []).append(seconds)
        return {rule: median(each) for rule, each in found.items()}

    def _kept(self, key: str) -> dict[str, Any] | None:
        """What was kept of a key; None: nothing, or nothing whole."""
        path = self.folder / f"{key}.json"
        try:
            kept = unseal(read_bytes(path), path)
        except (OSError, ValueError):
            return None
        kinds = {"rule": str, "code": str, "settings": dict, "upstream": dict}
        return kept if all(isinstance(kept.get(name), kind) for name, kind in kinds.items()) else None

    def _code(self, before: str, now: Parts) -> Iterator[str]:
        if before == fingerprint(*now.code):
            return
        path = self.folder / f"code-{before}.json"
        try:
            old = unseal(read_bytes(path), path)["files"]
        except (OSError, ValueError, KeyError):
            yield f"code of the rule {now.rule} changed"
            return
        new = dict(trees(*now.code))
        names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
        more = f" and {len(names) - MOST_NAMES} more files" if len(names) > MOST_NAMES else ""
        yield f"code of {', '.join(names[:MOST_NAMES])}{more} changed"

    def _upstream(self, before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
        for name, new in now.items():
            old = before.get(name)
            if old is None:
                yield f"{name} added"
            elif old != new and name in (START, TEACHER):
                yield f"{name} is stale"
            elif old != new:
                changes = self.changes(old, new)
                yield from [f"{name} changed"] if changes == (UNKNOWN,) else changes
        yield from (f"{name} left out" for name in before if name not in now)


def _settings(before: Mapping[str, Any], now: Parts) -> Iterator[str]:
    """The settings that differ, each by its name in the configuration with both of its values."""
    places = KEYS.get(now.rule, {})
    # As JSON keeps it, in which tuples are lists.
    for path, old, new in _differences(before, json.loads(json.dumps(now.settings))):
        first, *rest = path
        place = [places[first], *rest] if first in places else [places.get("", ""), *path]
        words = [word.format_map(now.of) for word in place if word not in ("", "loss_parameters")]
        name = ".".join(words)
        if path == ("code",):  # of the page, which is made with what draws the others
            yield "code of figures or tables changed"
        elif all(value is None or (isinstance(value, str) and HASH.fullmatch(value)) for value in (old, new)):
            yield (
                f"{name} added"
                if old is None
                else f"{name} left out"
                if new is None
                else f"content of {name} changed"
            )
        elif isinstance(old, list) and isinstance(new, list) and len(f"{old}{new}") > MOST_LETTERS:
            counts = (
                (sum(one not in new for one in old), "left out"),
                (sum(one not in old for one in new), "added"),
            )
            yield f"{name}: {', '.join(f'{count} {what}' for count, what in counts if count) or 'another order'}"
        else:
            yield f"{name} {_shown(old)} -> {_shown(new)}"


def _differences(
    old: Mapping[str, Any], new: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    for name in dict.fromkeys([*new, *old]):
        before, now = old.get(name, ABSENT), new.get(name, ABSENT)
        if isinstance(before, dict) and isinstance(now, dict):
            yield from _differences(before, now, (*path, name))
        elif before != now or type(before) is not type(now):
            yield (*path, name), before, now


ABSENT = ...
"""In place of the value of a setting that was not there."""


def _shown(value: Any) -> str:
    text = "(not set)" if value is ABSENT else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 1]}…"


def _arrows(found: re.Match[str]) -> str:
    return re.sub(r" \(here (\S+)\)", r" -> \1", found[1])
