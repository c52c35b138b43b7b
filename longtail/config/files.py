"""The files of the configuration, read so that YAML never says anything else than what was written.

Snakemake reads the same files with PyYAML, which keeps the last of two equal keys and takes 010 for 8 and 1:30 for 90.
Here such a file is refused with its line, and so is one that has no end or is no text. Numbers are those of YAML 1.2,
so 1e-3 is one, and a date is refused. The lines are kept, so that other problems can name them too.

The profiles run this file before Snakemake reads anything, since Snakemake itself ends in a traceback on a file that it
cannot read and on most mistakes after `--config`. That is why it uses nothing else of this project.
"""

import re
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

MOST_BYTES = 1_000_000
MOST_VALUES = 100_000
"""Each place of an alias counts, so a short file cannot stand for a large one."""
DEEPEST = 50
MOST_DIGITS = 400  # no setting takes a number that a float cannot hold

Path_ = tuple[str | int, ...]
_FLOAT = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?")
_TRUTH = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
_TYPES = {"int": "a number", "float": "a number", "bool": "a truth value", "null": "null"}


class Unreadable(ValueError):
    """The file cannot be read at all; the message says why, and where."""


def read_file(path: str | Path) -> "Read":
    """The settings of a file.

    Raises:
        Unreadable: it is no text file in UTF-8, no YAML, or without bounds.
    """
    path = Path(path)
    if not path.is_file():
        raise Unreadable(f"{path} is not a file" if path.exists() else f"{path} does not exist")
    if (size := path.stat().st_size) > MOST_BYTES:
        raise Unreadable(f"{path} has {size:,} bytes; a configuration has at most {MOST_BYTES:,}")
    content = path.read_bytes()
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Unreadable(f"{path}, line {line}: this is not UTF-8; save the file as UTF-8") from None
    read = read_text(text, str(path))
    if not isinstance(read.content, dict):
        raise Unreadable(f"{path} holds no settings; expected lines such as seeds: [1, 2]")
    return read


def read_text(text: str, name: str) -> "Read":
    """The settings of a text; `name` says in errors where it comes from."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        reason = "; ".join(filter(None, (error.context, error.problem, error.note)))
        raise Unreadable(f"{name}{line}: this is not YAML ({reason})") from None
    except yaml.YAMLError as error:
        raise Unreadable(f"{name} is no text ({str(error).partition(chr(10))[0]})") from None
    except RecursionError:
        raise Unreadable(f"{name} is nested deeper than {DEEPEST} levels") from None
    return Read(name, node)


def number(text: str) -> int | float | None:
    """The number that a plain text is in YAML 1.2; None: it is none."""
    if re.fullmatch(r"[-+]?\d+", text) and len(text) <= MOST_DIGITS:
        return int(text)
    if re.fullmatch("0o[0-7]+", text):
        return int(text, 8)
    return float(text) if _FLOAT.fullmatch(text) else None


class Read:
    """What a file holds, and what is wrong with it: values made of the nodes that PyYAML composed.

    Attributes:
        content: the settings.
        problems: what YAML would read as something else; the content is whole all the same.
        lines: the line of every key and item, counted from 1.
        misread: the keys whose values are among the problems.
    """

    def __init__(self, name: str, node: yaml.Node | None):
        self.name = name
        self.problems: list[str] = []
        self.lines: dict[Path_, int] = {}
        self.misread: set[Path_] = set()
        self._values = 0
        self._open: list[yaml.Node] = []
        self.content: Any = self._value(node, ()) if node else None

    def _value(self, node: yaml.Node, path: Path_) -> Any:
        self._values += 1
        if self._values > MOST_VALUES:
            raise Unreadable(f"{self.name} stands for more than {MOST_VALUES:,} values, by its aliases (*)")
        if any(node is above for above in self._open):
            raise Unreadable(f"{self._at(node)}: an alias (*) refers to what it stands in")
        if len(path) > DEEPEST:
            raise Unreadable(f"{self.name} is nested deeper than {DEEPEST} levels")
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            said = len(self.problems)
            value = self._scalar(node)
            if len(self.problems) > said:
                self.misread.add(path)
            return value
        self._open.append(node)
        if node.tag not in ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            self._refuse(node, f"a value is called {_tag(node)}, and no setting takes that")
        if isinstance(node, yaml.MappingNode):
            value = self._mapping(node, path)
        else:
            value = [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        self._open.pop()
        return value

    def _mapping(self, node: yaml.MappingNode, path: Path_) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        found: dict[str, int] = {}
        for key, item in node.value:
            if _tag(key) == "merge":  # <<: what is written here comes on top of it
                parts = self._value(item, path)
                for part in reversed(parts if isinstance(parts, list) else [parts]):
                    merged |= part if isinstance(part, dict) else {}
                continue
            if not isinstance(key, yaml.ScalarNode):
                self._refuse(key, "a key is a list or a mapping; expected a name")
                continue
            name = key.value
            if _tag(key) != "str":
                what = _TYPES.get(_tag(key), f"a {_tag(key)}")
                self._refuse(key, f"the key {name} is {what}, and keys are text; write '{name}'")
            line = key.start_mark.line + 1
            if name in found:
                self._refuse(key, f"{'.'.join(map(str, (*path, name)))} stands in line {found[name]} already")
            found[name] = self.lines[*path, name] = line
            own[name] = self._value(item, (*path, name))
        return merged | own

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text, tag = node.value, _tag(node)
        if tag == "null":
            return None
        if tag == "bool" and text.lower() in _TRUTH:
            return _TRUTH[text.lower()]
        if node.style is None and tag in ("int", "float", "str"):
            if len(text) > MOST_DIGITS and re.fullmatch(r"[-+\d_.]+", text):
                raise Unreadable(f"{self._at(node)}: a number of {len(text):,} digits")
            if re.fullmatch(r"[-+]?0[\d_]+", text):
                decimal = text.replace("_", "").lstrip("+-0") or "0"
                self._refuse(node, f"{text} may be octal; write {decimal}, or '{text}' if it is text")
                return text
            if ":" in text and tag != "str":
                self._refuse(
                    node, f"YAML reads {text} in base 60; write the number, or '{text}' if it is text"
                )
                return text
            if tag == "str":
                plain = number(text)
                return text if plain is None else plain
        with suppress(ValueError):  # an odd text may be called a number: !!int x
            if tag == "int":
                return int(text.replace("_", ""), 0)
            if tag == "float":
                return float(re.sub(r"\.(inf|nan)", r"\1", text.replace("_", "").lower()))
        if tag == "timestamp":
            self._refuse(node, f"{text} is a date, which no setting takes; write '{text}' if it is text")
        elif tag not in ("str", "value"):
            self._refuse(node, f"{text[:40]!r} is called {tag}, and no setting takes that")
        return text

    def _refuse(self, node: yaml.Node, reason: str) -> None:
        self.problems.append(f"{self._at(node)}: {reason}")

    def _at(self, node: yaml.Node) -> str:
        return f"{self.name}, line {node.start_mark.line + 1}"


def _tag(node: yaml.Node) -> str:
    return str(node.tag).rpartition(":")[2]


def wrong_words(words: Sequence[str]) -> Iterator[str]:
    """What is wrong with the settings after `--config`, each as NAME=VALUE, with the form that is right."""
    for word in words:
        name, equals, value = word.partition("=")
        section, *keys = name.split(".")
        if not equals or "{" in name:
            yield (
                f"--config: found {word!r}, expected NAME=VALUE; put a value with spaces or braces in quotes, such as "
                "--config 'train={epochs: 3}'"
            )
        elif keys:
            nested = f"{': {'.join(keys)}: {value}{'}' * (len(keys) - 1)}"
            yield f"--config {word}: settings of a section stand in braces; write --config '{section}={{{nested}}}'"
        elif value[:1] in ("{", "["):
            try:
                yield from read_text(value, f"--config {name}").problems
            except Unreadable as error:
                yield str(error)
        elif re.match(r"\w+:", value) and not value.startswith(("http:", "https:", "file:")):
            key, _, inner = value.partition(":")
            yield (
                f"--config {word}: settings of a section stand in braces and quotes; write --config "
                f"'{name}={{{key}: {inner.strip()}}}'"
            )


def main(words: Sequence[str]) -> None:
    """Look through the files and settings among the arguments of Snakemake.

    Raises:
        SystemExit: something is wrong, and was printed.
    """
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--configfile", "--configfiles", nargs="+", default=[])
    parser.add_argument("--config", "-C", nargs="*", default=[])
    given, _ = parser.parse_known_args(list(words))
    found = list(wrong_words(given.config))
    for path in ["config/config.yaml", *given.configfile]:
        try:
            # Snakemake says it where there is no file, and the workflow all that is wrong with a file that can be read.
            if Path(path).exists() and (problems := read_file(path).problems):
                try:
                    yaml.safe_load(Path(path).read_text(encoding="utf-8"))
                except Exception:  # many types: a month 13, a list as a key
                    found += problems
        except Unreadable as error:
            found.append(str(error))
        except OSError as error:
            found.append(f"{path[:60]}: {error.strerror}")
    if found:
        print("\n  - ".join(["The configuration cannot be read:", *found]), file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
