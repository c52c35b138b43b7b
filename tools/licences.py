"""Refuse packages whose licence would bind whoever passes this project on: `python tools/licences.py`, by `make lint`.

All that is installed is looked at, by what its own metadata says; what else a wheel holds, nobody tells. The GPL and
its kin are refused. The LGPL and the MPL are not: they ask nothing of a program that only uses such a package.
"""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions

REFUSED = re.compile(
    r"(?<!l)gpl|(?<!lesser )(?<!library )general public|affero|sspl|server side public|commons clause"
    r"|non-?commercial|\bnc\b",
    re.IGNORECASE,
)
SILENT = {"cuda-toolkit": "holds nothing itself; it names NVIDIA's other packages"}
"""Packages that say nothing about their licence, with what is known of them."""


def choices(package: Distribution) -> list[str]:
    """The licences among which the user of a package may choose; none where its metadata says nothing."""
    told = package.metadata
    if expression := told["License-Expression"]:
        return [expression] if "(" in expression else re.split(r"\bOR\b", expression)
    kinds = [
        kind.rpartition(" :: ")[2] for kind in told.get_all("Classifier", []) if kind.startswith("License ::")
    ]
    files = (file for file in package.files or [] if re.match(r"licen[cs]e|copying", file.name, re.I))
    texts = [told["License"] or "", *(file.read_text() for file in files)]
    return kinds or [text.strip().partition("\n")[0] for text in texts if text.strip()]


def faults(packages: list[Distribution]) -> Iterator[str]:
    """A sentence on each package that may not be used."""
    for package in packages:
        name, found = package.name, choices(package)
        if not found and name not in SILENT:
            yield f"{name} says nothing about its licence; look it up, and name it in tools/licences.py"
        elif found and all(map(REFUSED.search, found)):
            yield f"{name} is under {' or '.join(found)}, which binds whoever passes this project on; take another"


if __name__ == "__main__":
    packages = list(distributions())
    if wrong := sorted(set(faults(packages))):
        sys.exit("\n".join(wrong))
    print(
        f"licences: none of {len({package.name for package in packages})} packages is under the GPL or its kin"
    )
