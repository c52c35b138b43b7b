"""What is pinned in one place is what is used in the others."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
RUNNING, DEV, SLURM = REQUIREMENTS = [ROOT / f"requirements{of}.txt" for of in ("", "-dev", "-slurm")]
PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;]+)(?: ; (?P<marker>[^\\]+?))?")
HASHES = re.compile(r"(?: \\\n    --hash=sha256:[0-9a-f]{64})+")
NEEDED_BY_SNAKEMAKE = ("nbformat", "packaging", "setuptools")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def declared(*extras: str) -> list[Requirement]:
    """What pyproject.toml asks for, for the library alone or for extras of it, but for the extras that these name."""
    words = [word for extra in extras for word in EXTRAS[extra]] if extras else PROJECT["dependencies"]
    return [one for one in map(Requirement, words) if one.name != "longtail"]


def floor(requirement: Requirement) -> Version:
    """The oldest version that a requirement allows."""
    (found,) = [one.version for one in requirement.specifier if one.operator == ">="]
    return Version(found)


def pins(*paths: Path, **environment: str) -> dict[str, set[str]]:
    """The pinned versions of each package; with values of markers (`python_full_version`), those that they choose."""
    found: dict[str, set[str]] = {}
    for entry in (
        entry for path in paths or REQUIREMENTS for entry in re.split(r"\n(?! )", path.read_text().strip())
    ):
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


def test_a_demo_installs_neither_the_tools_of_tests_nor_what_other_extras_need():
    running, dev, slurm = map(pins, REQUIREMENTS)
    assert not (running.keys() & dev.keys() or running.keys() & slurm.keys() or dev.keys() & slurm.keys())
    for requirement in declared("dev", "onnx", "tensorboard", "heic", "excel"):
        assert canonicalize_name(requirement.name) in dev or requirement.name in NEEDED_BY_SNAKEMAKE, (
            requirement
        )
    assert {canonicalize_name(one.name) for one in (*declared(), *declared("workflow"))} <= running.keys()


@pytest.mark.parametrize("requirement", [*declared(), *declared(*EXTRAS)], ids=str)
def test_every_dependency_has_a_floor_that_its_pin_keeps(requirement):
    found = pins()[canonicalize_name(requirement.name)]
    assert all(Version(version) >= floor(requirement) for version in found)
    assert all(version in requirement.specifier for version in found)


def test_the_snakefile_asks_for_the_snakemake_of_the_package():
    (asked,) = re.findall(r'^min_version\("(.*)"\)$', (ROOT / "Snakefile").read_text(), re.MULTILINE)
    (snakemake,) = [one for one in declared("workflow") if one.name == "snakemake"]
    assert Version(asked) == floor(snakemake)


def test_make_asks_for_the_python_of_the_package():
    (asked,) = re.findall(r"sys\.version_info < \((\d+), (\d+)\)", (ROOT / "Makefile").read_text())
    assert PROJECT["requires-python"] == f">={'.'.join(asked)}"


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
    # What live curves need is installed too, by the uv of the one file and with the pins of both.
    constraints = "--constraint /requirements.txt --constraint /requirements-dev.txt"
    assert f"uv pip install --system --no-cache {constraints} tensorboard\n" in text
    assert {"uv", "tensorboard"} <= pins().keys()
    assert text.count("requirements-dev.txt") >= 2  # it is copied, too
