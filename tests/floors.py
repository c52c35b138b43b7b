"""The tests of the library with the oldest packages that pyproject.toml allows: `make test-floors`.

A new environment gets the floor of everything that pyproject.toml names; what these packages bring is of today. A floor
that is not installed, since another package asks for more, is no floor, and fails too. The extra `slurm` is left out:
its package asks for a newer NumPy than the library.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
ROOMS = (
    "config",
    "losses",
    "files",
    "data",
    "models",
    "batches",
    "analysis",
    "inference",
    "report",
    "training",
)


def raised(python: Path) -> list[str]:
    """The dependencies of which something newer than their floor is installed, each as a sentence."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    words = [*project["dependencies"], *(word for name in extras if name != "slurm" for word in extras[name])]
    code = "from importlib.metadata import version; import sys; print(*map(version, sys.argv[1:]), sep='\\n')"
    asked = [one for one in map(Requirement, words) if one.name != "longtail"]
    done = subprocess.run(
        [python, "-c", code, *(one.name for one in asked)], capture_output=True, text=True, check=True
    )
    found = []
    for one, version in zip(asked, done.stdout.split(), strict=True):
        (floor,) = [part.version for part in one.specifier if part.operator == ">="]
        found_there = Version(version).release
        if one.name.startswith(
            "types-"
        ):  # which have the day of their making behind the version that they describe
            found_there = found_there[: len(Version(floor).release)]
        if Version(".".join(map(str, found_there))) != Version(floor):
            found.append(f"{one.name}>={floor}: {version} is the oldest that goes with the others")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "rooms", nargs="*", default=ROOMS, help=f"folders of tests/ (default: {' '.join(ROOMS)})"
    )
    rooms = parser.parse_args().rooms
    uv = Path(sys.executable).with_name("uv")
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder, "bin/python")
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", python, "--resolution", "lowest-direct"]
        subprocess.run([*install, "--editable", f"{ROOT}[dev]"], check=True)
        if wrong := raised(python):
            print("\n".join(wrong))
            return 1
        # What old packages warn of in new Python is not ours.
        tests = [python, "-m", "pytest", "-p", "no:cacheprovider", "--disable-warnings"]
        tests += [
            "--numprocesses",
            "auto",
            "--maxprocesses",
            "8",
            "--dist",
            "loadfile",
        ]  # as `make test` does
        environment = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}"}
        return subprocess.run(
            [*tests, *(f"tests/{room}" for room in rooms)], cwd=ROOT, env=environment
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
