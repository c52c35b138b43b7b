"""The classes that an experiment has, made of those of its collection by rules: excluded, renamed, merged."""

import re
import signal
import threading
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from longtail.data.lists.text import read_text, table_of
from longtail.settings import unknown

_SHOWN = 5
SEARCHING = 2.0
"""Seconds of processor time for the searches of one rule. One like `/^(a+)+$/` may need centuries for one name."""


class _Rule(NamedTuple):
    """What one setting says of some classes."""

    key: str
    """The setting, as a message names it."""
    matches: Callable[[str], re.Match[str] | bool | None]
    becomes: Callable[[str], str | None]
    """The new name of a class; None where it is left out."""
    wanted: str
    """The name or the /regular expression/ that the rule has for its classes."""


def class_mapping(
    names: Iterable[str], rules: Mapping[str, Any], *, complete: bool = True
) -> dict[str, str | None]:
    """The class that each class of a collection becomes.

    A class is named as the collection has it, or by a regular expression between slashes, which is searched for in its
    name, such as `/^Noctua /`. In the new name, `\\1` stands for what its first group has found.

    Args:
        names: the classes of the collection.
        rules: `exclude`, a list of classes that are left out; `rename`, from a class to its new name; `merge`, from a
            new name to the classes that it takes the place of; `names`, None or a csv with the columns class and name,
            of which an empty name leaves the class out; `taxonomy`, None or the csv `file`, its column `column` with
            the name of a class and its column `rank` with the new one, for all classes that no other rule names.
        complete: whether these are all classes, so that rules on others are errors.

    Returns:
        The new name of each class, or None where it is left out, in the order of the names.

    Raises:
        ValueError: a rule names a class that is not there or matches none, two rules are on one class, a renamed class
            would be another one, the taxonomy lacks a class, or fewer than two classes are left. The message names the
            setting.
        FileNotFoundError: one of the csv files is not there.
    """
    known = list(dict.fromkeys(names))
    found: dict[str, tuple[_Rule, str | None]] = {}
    for rule in _rules(rules):
        with _in_time(rule):
            becomes = {name: rule.becomes(name) for name in known if rule.matches(name)}
        if not becomes and complete:
            raise ValueError(_of_nothing(rule, known))
        for name, new in becomes.items():
            if name in found:
                raise ValueError(
                    f"data.classes has two rules on the class {name!r}: {found[name][0].key} ({found[name][0].wanted}) "
                    f"and {rule.key} ({rule.wanted}); keep one of them"
                )
            found[name] = rule, new
    result = {name: found[name][1] if name in found else name for name in known}
    if rules.get("taxonomy"):
        result |= _of_taxonomy([name for name in known if name not in found], rules["taxonomy"])
    _check_renamed(found, result)
    left = sorted({name for name in result.values() if name is not None})
    if len(left) < 2:
        what = f"only the class {left[0]!r}" if left else "no class"
        raise ValueError(f"data.classes leaves {what} of {len(known)}; at least two are needed")
    return result


def _rules(rules: Mapping[str, Any]) -> Iterator[_Rule]:
    for wanted in rules.get("exclude") or ():
        yield _rule("data.classes.exclude", wanted, None)
    for wanted, new in (rules.get("rename") or {}).items():
        yield _rule("data.classes.rename", wanted, new)
    for new, several in (rules.get("merge") or {}).items():
        for wanted in [several] if isinstance(several, str) else several:
            yield _rule(f"data.classes.merge.{new}", wanted, new)
    if rules.get("names"):
        for place, row in _rows(Path(rules["names"]), "data.classes.names", ["class", "name"]):
            yield _rule(f"data.classes.names: {place}", row["class"], row["name"] or None, literal=True)


def _rule(key: str, wanted: str, new: str | None, *, literal: bool = False) -> _Rule:
    wanted, new = _composed(wanted), new if new is None else _composed(" ".join(new.split()))
    if literal or not is_expression(wanted):
        return _Rule(key, lambda name: name == wanted, lambda _: new, repr(wanted))
    expression = compiled(wanted)

    def becomes(name: str) -> str | None:
        match = expression.search(name)
        try:
            made = new if new is None or match is None else " ".join(match.expand(new).split())
        except (re.error, IndexError) as error:
            raise ValueError(
                f"{key}: the new name {new!r} does not fit the expression {wanted} ({error})"
            ) from None
        if made == "":
            raise ValueError(
                f"{key}: {wanted} makes an empty name of {name!r}; mend it, or exclude that class"
            )
        return made

    return _Rule(key, expression.search, becomes, wanted)


def is_expression(wanted: str) -> bool:
    """Whether a rule has a regular expression for its classes, and no name."""
    return len(wanted) > 2 and wanted.startswith("/") and wanted.endswith("/")


def compiled(wanted: str) -> re.Pattern[str]:
    """The regular expression between the slashes of a rule.

    Raises:
        ValueError: it is none, Python cannot take it, or a later Python may read it differently.
    """
    try:
        with warnings.catch_warnings(action="error"):
            return re.compile(wanted[1:-1])
    except (re.error, OverflowError, FutureWarning, DeprecationWarning) as error:
        raise ValueError(f"{wanted} is no regular expression ({error})") from None
    except RecursionError:
        raise ValueError(f"{wanted[:20]}… has too many brackets within brackets; write it flatter") from None


@contextmanager
def _in_time(rule: _Rule) -> Iterator[None]:
    """Refuse a rule whose searches do not end within `SEARCHING`; only the main thread of a program can.

    Python's regular expressions have no limit of their own, but heed signals while they search.
    """

    def end(*_: object) -> None:
        raise ValueError(
            f"{rule.key}: {rule.wanted} was searched for {SEARCHING:g} s without an end; write it without a repetition "
            "of what is repeated already, such as (a+)+ or .*.*.*"
        )

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, SEARCHING)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _of_nothing(rule: _Rule, known: list[str]) -> str:
    if is_expression(rule.wanted):
        some = ", ".join(map(repr, known[:_SHOWN])) + (", …" if len(known) > _SHOWN else "")
        return (
            f"{rule.key}: {rule.wanted} matches none of the {len(known)} classes ({some}); mend or remove it"
        )
    name = rule.wanted[1:-1]
    told = unknown(f"{rule.key}: the class {rule.wanted}", name, known)
    head, _, allowed = told.partition("allowed: ")
    listed = allowed.split(", ")
    return f"{head}allowed: {', '.join(listed[:20])}" + (f", … ({len(known)})" if len(listed) > 20 else "")


def _check_renamed(found: Mapping[str, tuple[_Rule, str | None]], result: Mapping[str, str | None]) -> None:
    """Refuse that a new name of `rename` is that of another class, which `merge` is for."""
    of_name: dict[str, list[str]] = defaultdict(list)
    for old, new in result.items():
        if new is not None:
            of_name[new].append(old)
    for old, (rule, new) in found.items():
        if rule.key == "data.classes.rename" and new is not None and len(of_name[new]) > 1:
            other = next(name for name in of_name[new] if name != old)
            raise ValueError(
                f"data.classes.rename: {old!r} would be called {new!r}, as {other!r} is; to make them one class, write "
                f"merge: {{{new}: [{old}, {other}]}}"
            )


def _of_taxonomy(names: list[str], taxonomy: Mapping[str, Any]) -> dict[str, str]:
    """The higher name of each of the classes."""
    column, rank, path = taxonomy["column"], taxonomy["rank"], Path(taxonomy["file"])
    higher: dict[str, tuple[str, str]] = {}
    for place, row in _rows(path, "data.classes.taxonomy", [column, rank]):
        place_before, before = higher.setdefault(row[column], (place, row[rank]))
        if before != row[rank]:
            raise ValueError(
                f"data.classes.taxonomy: {place} has the {rank} {row[rank]!r} for {row[column]!r}, and {place_before} "
                f"has {before!r}; keep one of them"
            )
    if lacking := [name for name in names if not higher.get(name, ("", ""))[1]]:
        raise ValueError(
            f"data.classes.taxonomy: {path} has no {rank} for {len(lacking)} of {len(names)} classes, such as "
            f"{', '.join(map(repr, lacking[:_SHOWN]))}; add rows with the {column} and the {rank}, or exclude, rename "
            "or merge these classes"
        )
    return {name: higher[name][1] for name in names}


def _rows(path: Path, key: str, columns: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The cells of these columns and where they stand; rows with an empty first one are passed over."""
    try:
        table = table_of(read_text(path).text, path, set(columns).issubset)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
    if lacking := [name for name in columns if name not in table.columns]:
        found = ", ".join(map(repr, table.columns)) or "none"
        raise ValueError(f"{key}: {path} has no column {lacking[0]!r}; it has {found}")
    for place, record in table.records():
        cells = {name: _composed(" ".join(record[name].split())) for name in columns}
        if cells[columns[0]]:
            yield f"{path}, {place}", cells


def check_left(left: int, of: int, least: int) -> None:
    """Refuse that `min_images` leaves fewer than two classes.

    Raises:
        ValueError: names the setting.
    """
    if left < 2:
        raise ValueError(
            f"{left} of {of} classes have the {least} images of data.classes.min_images; at least two are needed. "
            "Lower it"
        )


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
