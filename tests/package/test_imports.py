"""What the library imports is what pyproject.toml asks for, and what an extra brings is imported where it is used."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MODULES = sorted((ROOT / "longtail").rglob("*.py"))
USED_BY_OTHERS = {
    "jinja2": "pandas writes LaTeX with it",
    "tabulate": "pandas writes Markdown with it",
    "uv": "the Makefile installs with it",
}
"""Dependencies that no module of the library imports, with what uses them."""
BROUGHT = {
    "pydantic-core": "pydantic",
    "urllib3": "requests",
    "snakemake-interface-logger-plugins": "snakemake",
}
"""Packages that a dependency always brings, as a part of itself."""
STARTED_WHERE_IT_IS = {"snakemake": ["longtail/commands/calm.py"]}
"""Packages of extras, and the programs that `longtail` starts only where they are; nothing imports those programs."""
FEATURES = ("workflow", "onnx", "tensorboard", "heic", "excel")


def named(*extras: str) -> set[str]:
    """The packages that pyproject.toml asks for: of the library alone, or of extras of it."""
    words = PROJECT["dependencies"]
    if extras:
        words = [word for extra in extras for word in PROJECT["optional-dependencies"][extra]]
    return {canonicalize_name(Requirement(word).name) for word in words}


def imports(node: ast.AST, deferred: bool = False) -> Iterator[tuple[str, bool]]:
    """The modules that code imports, by their first name, and whether only once a function is called."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):  # imports nothing, and most of the code is expressions
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from ((alias.name.split(".")[0], deferred) for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and not child.level:
            yield (child.module or "").split(".")[0], deferred
            if child.module == "torch.utils.tensorboard":
                yield "tensorboard", deferred
        yield from imports(child, deferred or isinstance(child, ast.FunctionDef))


@pytest.fixture(scope="module")
def imported() -> dict[tuple[str, bool], list[str]]:
    """Where each package is imported, at once or when a function is called."""
    packages = packages_distributions()
    found: dict[tuple[str, bool], list[str]] = {}
    for path in MODULES:
        for module, deferred in imports(ast.parse(path.read_text(encoding="utf-8"))):
            if module not in sys.stdlib_module_names and module != "longtail":
                package = canonicalize_name(packages[module][0])
                package = BROUGHT.get(package, package)
                found.setdefault((package, deferred), []).append(path.relative_to(ROOT).as_posix())
    return found


def test_importing_the_library_needs_its_dependencies_and_no_extra(imported):
    wanting = {
        name: sorted({*where})
        for (name, deferred), where in imported.items()
        if not deferred and name not in named()
    }
    assert wanting == STARTED_WHERE_IT_IS
    programs = [Path(where).stem for starts in STARTED_WHERE_IT_IS.values() for where in starts]
    text = "".join(path.read_text(encoding="utf-8") for path in MODULES)
    assert not re.search(rf"import .*\b({'|'.join(programs)})\b", text)


def test_whatever_a_function_imports_is_a_dependency_or_of_an_extra(imported):
    known = named() | named(*FEATURES)
    assert not {name: where for (name, _), where in imported.items() if name not in known}


def test_every_dependency_is_used(imported):
    text = "".join(path.read_text(encoding="utf-8") for path in MODULES)
    used = {name for name, _ in imported} | USED_BY_OTHERS.keys()
    # Modules that are found by their names.
    used |= {name for name in named(*FEATURES) if f'"{name.replace("-", "_")}"' in text}
    assert (named() | named(*FEATURES)) <= used


@pytest.mark.parametrize("feature", FEATURES)
def test_what_a_sentence_says_to_install_is_in_its_extra(feature):
    """Those are the words after `pip install` in the library; a test beside each feature brings its sentence about."""
    text = "".join(path.read_text(encoding="utf-8") for path in MODULES)
    told = {canonicalize_name(name) for name in re.findall(r"pip install ([A-Za-z][\w-]*)", text)}
    told |= {canonicalize_name(name) for name in re.findall(r'"(onnx\w*)"', text)}
    assert told & named(feature), f"no sentence says how to install {feature}"
    assert told <= named() | named(*FEATURES)


def test_without_snakemake_single_settings_are_refused_with_what_to_do(tmp_path):
    code = (
        "import sys; sys.modules['snakemake'] = None\n"
        "from longtail.__main__ import main\n"
        "sys.exit(main(['clean', '--config', 'seeds=[1]']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: --config needs Snakemake, which reads such values: pip install snakemake"
    )
