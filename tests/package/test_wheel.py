"""The package as it is built: what is in it, and that all of it works where nothing else of this project is."""

import email
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
UV = Path(sys.executable).with_name("uv")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy, since building leaves files beside the sources."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "longtail", source / "longtail", ignore=shutil.ignore_patterns("__pycache__"))
    command = [UV, "build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable]
    subprocess.run([*command, "--out-dir", source / "dist"], cwd=source, check=True)
    (found,) = (source / "dist").glob("*.whl")
    return found


def test_it_holds_every_file_of_the_library_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = (
        path for path in (ROOT / "longtail").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )
    assert packed == {path.relative_to(ROOT).as_posix() for path in files}


def test_it_says_what_it_is_what_it_needs_and_what_else_it_can_do(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (folder,) = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        told = email.message_from_bytes(archive.read(f"{folder}/METADATA"))
        scripts = archive.read(f"{folder}/entry_points.txt").decode()
        assert f"{folder}/licenses/LICENSE" in archive.namelist()
    assert scripts.split() == ["[console_scripts]", "longtail", "=", "longtail.__main__:main"]
    assert told["License-Expression"] == "MIT" and told["Requires-Python"] == PROJECT["requires-python"]
    assert {*told.get_all("Provides-Extra")} == {
        "all",
        "dev",
        "excel",
        "heic",
        "onnx",
        "slurm",
        "tensorboard",
        "workflow",
    }
    needed = [line for line in told.get_all("Requires-Dist") if "extra ==" not in line]
    assert len(needed) == len(PROJECT["dependencies"])
    assert told.get_payload().startswith("# longtail")


def test_its_command_starts_from_it_alone(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "packages")
    code = "import longtail; from longtail.__main__ import main; print(longtail.__file__); main(['--help'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(tmp_path / "packages")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    place, *page = done.stdout.splitlines()
    assert place.startswith(str(tmp_path))
    assert page[0].startswith("usage: longtail COMMAND")


@pytest.mark.long
def test_all_of_it_works_in_an_environment_with_nothing_else(wheel, tmp_path):
    """`alone.py` says what all is; the pins are those of the project, and no extra is installed."""
    environment, work = tmp_path / "environment", tmp_path / "work"
    work.mkdir()
    shutil.copy(Path(__file__).with_name("alone.py"), work)
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, environment], check=True)
    install = [UV, "pip", "install", "--quiet", "--python", environment / "bin/python", wheel]
    subprocess.run([*install, "--constraint", ROOT / "requirements.txt"], check=True)
    programs = f"{environment / 'bin'}:/usr/bin:/bin"
    done = subprocess.run(
        [environment / "bin/python", "-I", "alone.py"],
        env={"PATH": programs, "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
        cwd=work,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "does without the repository what it says" in done.stdout
