"""A package whose licence would bind whoever passes this project on is refused; the others are not."""

from importlib.metadata import Distribution

import pytest

from tools.licences import faults


class Package(Distribution):
    """A package with these lines of metadata, and a licence file with this text."""

    def __init__(self, *lines: str, text: str | None = None):
        self.lines, self.text = ("Name: some-package", *lines), text

    def read_text(self, filename):
        return "\n".join(self.lines) + "\n" if filename == "METADATA" else None

    def locate_file(self, path):
        raise FileNotFoundError(path)

    @property
    def files(self):
        return [] if self.text is None else [File(self.text)]


class File:
    name = "LICENSE.txt"

    def __init__(self, text: str):
        self.read_text = lambda: text


def kind(name: str) -> str:
    return f"Classifier: License :: OSI Approved :: {name}"


@pytest.mark.parametrize(
    "package",
    [
        Package("License-Expression: MIT"),
        Package("License-Expression: MPL-2.0 AND MIT"),
        Package("License-Expression: LGPL-3.0-or-later"),
        Package("License-Expression: GPL-3.0-only OR Apache-2.0"),
        Package(kind("GNU Lesser General Public License v3 (LGPLv3)")),
        Package(kind("GNU Library or Lesser General Public License (LGPL)")),
        Package(kind("GNU General Public License (GPL)"), kind("BSD License")),
        Package("License: BSD-3-Clause"),
        Package(text="MIT License\n\nthis is not the GPL"),
        Package(text="GNU LESSER GENERAL PUBLIC LICENSE\nVersion 3"),
    ],
    ids=lambda package: package.lines[-1],
)
def test_licences_that_bind_nobody_pass(package):
    assert list(faults([package])) == []


@pytest.mark.parametrize(
    "package",
    [
        Package("License-Expression: GPL-3.0-or-later"),
        Package("License-Expression: MIT AND GPL-2.0-only"),
        Package("License-Expression: (MIT OR Apache-2.0) AND AGPL-3.0-only"),
        Package("License-Expression: SSPL-1.0"),
        Package("License-Expression: CC-BY-NC-4.0"),
        Package(kind("GNU General Public License v2 (GPLv2)")),
        Package(kind("GNU Affero General Public License v3")),
        Package("License: GNU GPLv3"),
        Package(text="\n   GNU GENERAL PUBLIC LICENSE\n Version 3, 29 June 2007"),
    ],
    ids=lambda package: package.lines[-1],
)
def test_the_gpl_and_its_kin_are_refused(package):
    (told,) = faults([package])
    assert told.startswith("some-package is under ") and told.endswith("; take another")


def test_a_package_that_says_nothing_is_named():
    (told,) = faults([Package()])
    assert "some-package says nothing about its licence; look it up" in told
