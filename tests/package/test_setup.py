"""`make setup` with stand-ins for Python: which of them fills .venv, and when .venv is made anew."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A stand-in for Python, which notes what it is asked for. The environments that it makes have a stand-in of their own.
PYTHON = """#!/bin/sh
echo "{name} $*" >> "{folder}/said"
case "$*" in
  *"-m venv"*)
    for place; do :; done
    case "$*" in *--clear*) rm -rf "$place" ;; esac
    mkdir -p "$place/bin"
    sed 's/^echo "{name} /echo "environment of {name} /' "$0" > "$place/bin/python"
    printf '#!/bin/sh\\n' > "$place/bin/uv"
    chmod +x "$place/bin/python" "$place/bin/uv" ;;
esac
"""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@pytest.fixture
def setup(tmp_path):
    """Run `make setup` in a folder after the pins changed; who was asked for what, and what make printed."""
    for name in ("pyproject.toml", "requirements.txt", "requirements-slurm.txt"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("one", "other"):
        python = tmp_path / name
        python.write_text(PYTHON.format(name=name, folder=tmp_path))
        python.chmod(0o755)

    def make(default: str, *words: str) -> tuple[list[str], str]:
        (tmp_path / ".venv/.ready").unlink(missing_ok=True)
        (tmp_path / "said").unlink(missing_ok=True)
        text = (ROOT / "Makefile").read_text()
        assert text.count("PYTHON ?= python3\n") == 1
        (tmp_path / "Makefile").write_text(
            text.replace("PYTHON ?= python3\n", f"PYTHON ?= {tmp_path}/{default}\n")
        )
        done = subprocess.run(
            ["make", "setup", *words],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
        )
        said = tmp_path / "said"
        return said.read_text().splitlines() if said.exists() else [], done.stdout + done.stderr

    return make


def fillers(said: list[str]) -> set[str]:
    """The Pythons that packages were installed with."""
    return {line.partition(" -m pip")[0] for line in said if " -m pip install" in line}


def made(said: list[str]) -> list[str]:
    """The Pythons that made an environment."""
    return [line.partition(" -m venv")[0] for line in said if " -m venv" in line]


def test_an_environment_is_filled_again_by_its_own_python_whichever_is_the_first_now(setup):
    said, _ = setup("one")
    assert (made(said), fillers(said)) == (["one"], {"environment of one"})
    said, _ = setup("other")
    assert (made(said), fillers(said)) == ([], {"environment of one"})


def test_a_python_that_is_named_makes_a_new_environment(setup, tmp_path):
    setup("one")
    (tmp_path / ".venv/.ready-dev").touch()
    said, _ = setup("one", f"PYTHON={tmp_path}/other")
    assert (made(said), fillers(said)) == (["other"], {"environment of other"})
    assert not (tmp_path / ".venv/.ready-dev").exists(), "what tests need is not in the new one"


@pytest.mark.parametrize("broken", ["#!/bin/sh\nexit 1\n", None])
def test_an_environment_that_does_not_work_is_made_anew(setup, tmp_path, broken):
    setup("one")
    python = tmp_path / ".venv/bin/python"
    python.unlink() if broken is None else python.write_text(broken)
    said, _ = setup("other")
    assert (made(said), fillers(said)) == (["other"], {"environment of other"})


def test_a_python_that_is_too_old_is_named_before_anything_is_made(setup, tmp_path):
    old = tmp_path / "one"
    old.write_text("#!/bin/sh\necho 'Python 3.11 or newer is needed, found 3.9.1' >&2\nexit 1\n")
    said, printed = setup("one")
    assert said == [] and "Python 3.11 or newer is needed, found 3.9.1" in printed
    assert not (tmp_path / ".venv/bin").exists()
