"""The papers that methods come from, as BibTeX, found by what the files of the methods say.

A docstring names its paper by the first author and the year. The rest of each paper stands in `references.bib` beside
this file, once.
"""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from longtail.losses.declarations import declaration
from longtail.settings import PACKAGE

FILE = Path(__file__).with_name("references.bib")
_SIGNS = {r"{\"o}": "ö", r"{\"u}": "ü", r"{\'a}": "á"}
_ET_AL = r"(?: et al\.| and [A-Z]\w+)?"


class Reference(NamedTuple):
    """A paper: its key, the surname of its first author, how a text names its authors, year, arXiv id, and BibTeX."""

    key: str
    surname: str
    authors: str
    year: str
    eprint: str
    bibtex: str


@cache
def references() -> dict[str, Reference]:
    """All papers by their keys."""
    found = {}
    for bibtex in re.findall(r"^@\w+\{.*?^\}$", FILE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        key = bibtex.partition("{")[2].partition(",")[0]
        fields = dict(re.findall(r"^  (\w+) = \{(.*)\},$", bibtex, re.MULTILINE))
        names = [_plain(author).partition(",")[0] for author in fields["author"].split(" and ")]
        authors = {1: names[0], 2: " and ".join(names)}.get(len(names), f"{names[0]} et al.")
        found[key] = Reference(key, names[0], authors, fields["year"], fields.get("eprint", ""), bibtex)
    return found


def named_in(text: str) -> list[str]:
    """The keys of the papers that a text names by first author and year, in its order.

    Of two papers of one author and year, only that is meant whose arXiv id the text has.
    """
    text = " ".join(text.split())
    places = {}
    for one in references().values():
        found = re.search(rf"\b{one.surname}{_ET_AL},? [^;()]*?\b((?:19|20)\d\d)\b", text)
        twins = [
            other for other in references().values() if (other.surname, other.year) == (one.surname, one.year)
        ]
        if found and found[1] == one.year and (len(twins) == 1 or one.eprint in text):
            places[one.key] = found.start()
    return sorted(places, key=lambda key: places[key])


def source_of_loss(name: str) -> str:
    """What the file of a loss says of its source, in one line; empty where it says nothing."""
    declared = declaration(name)
    return declared.source if declared else ""


def source_of_model(architecture: str) -> str:
    """What the file of an architecture says of its source: the comment at its name, else the first line of the file."""
    for file in sorted((PACKAGE / "models").glob("*.py")):
        text = file.read_text(encoding="utf-8")
        table = re.search(r"^MODELS = \{(.*?)\}$", text, re.MULTILINE | re.DOTALL)
        if not table or f'"{architecture}":' not in table[1]:
            continue
        entry = re.search(rf'((?:^ *#.*\n)*)^.*"{architecture}":(.*)$', table[1], re.MULTILINE)
        told = f"{entry[1]} {entry[2]}" if entry else ""
        return told if "et al." in told else text.partition("\n\n")[0]
    return ""


def _plain(text: str) -> str:
    for sign, letter in _SIGNS.items():
        text = text.replace(sign, letter)
    return text
