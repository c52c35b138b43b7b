"""What is pinned in one place is what is used in the others."""

import re
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker

ROOT = Path(__file__).parents[2]
REQUIREMENTS = (ROOT / "requirements.txt", ROOT / "requirements-slurm.txt")
PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;]+)(?: ; (?P<marker>[^\\]+?))?")
HASHES = re.compile(r"(?: \\\n    --hash=sha256:[0-9a-f]{64})+")


def pins(**environment: str) -> dict[str, set[str]]:
    """The pinned versions of each package; with values of markers (`python_full_version`), those that they choose."""
    found: dict[str, set[str]] = {}
    for entry in (entry for path in REQUIREMENTS for entry in re.split(r"\n(?! )", path.read_text().strip())):
        line, *hashes = entry.partition(" \\")
        match = PIN.fullmatch(line)
        assert match, f"{line!r} is no exact pin"
        assert HASHES.fullmatch("".join(hashes)), f"{line!r} has no hashes"
        if not environment or not match["marker"] or Marker(match["marker"]).evaluate(environment):
            found.setdefault(match["name"], set()).add(match["version"])
    return found


def test_every_requirement_is_an_exact_pin_with_hashes_and_without_a_registry_host():
    assert len(pins()) > 100
    assert not any("://" in path.read_text() for path in REQUIREMENTS)


@pytest.mark.parametrize("path", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda path: path.stem)
def test_conda_environments_pin_the_versions_of_requirements(path):
    dependencies = yaml.safe_load(path.read_text())["dependencies"]
    packages = next(entry["pip"] for entry in dependencies if isinstance(entry, dict))
    assert packages
    python = next(entry.partition("=")[2] for entry in dependencies if str(entry).startswith("python="))
    pinned = pins(python_full_version=f"{python}.0")
    for package in packages:
        match = PIN.fullmatch(package)
        assert match, f"{path.name}: {package!r} is no exact pin"
        assert match["version"] in pinned[match["name"]], package


def test_the_known_bad_torch_is_not_pinned():
    assert pins()["torch"] != {"2.13.0"}


@pytest.mark.parametrize("recipe", ["Dockerfile", "longtail.def"])
def test_containers_install_requirements_and_run_the_python_of_the_conda_environments(recipe):
    text = (ROOT / "envs" / recipe).read_text()
    version = re.search(
        r"^from:? python:([\d.]+)[a-z-]*@sha256:[0-9a-f]{64}$", text, re.IGNORECASE | re.MULTILINE
    )[1]
    for path in (ROOT / "envs").glob("*.yaml"):
        assert f"python={version}" in yaml.safe_load(path.read_text())["dependencies"], path.name
    assert re.search(r"pip install --no-cache-dir --requirement /requirements.txt$", text, re.MULTILINE)
