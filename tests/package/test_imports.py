"""What the library imports is what pyproject.toml asks for, and what an extra brings is imported where it is used.

What a program of the workflow imports is in the conda environment of its rule.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from longtail.experiment.fingerprint import closure

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
    """What code imports, by its whole name, and whether only once a function is called; a name may be of no module."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):  # imports nothing, and most of the code is expressions
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from ((alias.name, deferred) for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and not child.level:
            yield from ((f"{child.module}.{alias.name}", deferred) for alias in child.names)
            if child.module == "torch.utils.tensorboard":
                yield "tensorboard", deferred
        yield from imports(child, deferred or isinstance(child, ast.FunctionDef))


@pytest.fixture(scope="module")
def imported() -> dict[tuple[str, bool], list[str]]:
    """Where each package is imported, at once or when a function is called."""
    packages = packages_distributions()
    found: dict[tuple[str, bool], list[str]] = {}
    for path in MODULES:
        for name, deferred in imports(ast.parse(path.read_text(encoding="utf-8"))):
            module = name.partition(".")[0]
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


RULES = [
    rule
    for path in sorted((ROOT / "workflow/rules").glob("*.smk"))
    for rule in re.split(r"\n(?= *rule )", path.read_text(encoding="utf-8"))
    if "conda:" in rule
]
FOUND_BY_NAME = {
    "train": ("losses/*", "models/*", "models/variants/*", "data/sources/*"),
    "analysis": ("losses/*", "analysis/metrics", "report/tables", "report/figures/*"),
}
"""Modules that programs import by names of the configuration."""


def programs(environment: str) -> set[str]:
    """The programs of the rules with that environment."""
    return {
        name
        for rule in RULES
        if f"envs/{environment}.yaml" in rule
        for name in re.findall(r"{SCRIPTS}/(\w+)\.py", rule)
    }


def installed(environment: str) -> set[str]:
    """The packages that envs/ENVIRONMENT.yaml names, and all that they bring."""
    listed = yaml.safe_load((ROOT / f"envs/{environment}.yaml").read_text())["dependencies"]
    (words,) = (entry["pip"] for entry in listed if isinstance(entry, dict))
    found: set[str] = set()
    waiting = [Requirement(word) for word in words]
    while waiting:
        one = waiting.pop()
        if canonicalize_name(one.name) not in found and (
            not one.marker or one.marker.evaluate({"extra": ""})
        ):
            found.add(canonicalize_name(one.name))
            waiting += map(Requirement, requires(one.name) or ())
    return found


def needed(environment: str) -> dict[str, str]:
    """The packages that the files of its programs import, in functions too; with one of these files."""
    rooms = (path for name in FOUND_BY_NAME[environment] for path in (ROOT / "longtail").glob(f"{name}.py"))
    choices = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in rooms]
    packages, found = packages_distributions(), {}
    for program in programs(environment):
        for path in closure(f"workflow/scripts/{program}.py", *choices):
            for name, _ in imports(ast.parse(path.read_text(encoding="utf-8"))):
                first = name.partition(".")[0]
                if first in packages and first != "longtail":
                    found[canonicalize_name(packages[first][0])] = path.relative_to(ROOT).as_posix()
    return found


def test_every_rule_with_an_environment_is_looked_at():
    assert {*FOUND_BY_NAME} == {path.stem for path in (ROOT / "envs").glob("*.yaml")}
    for rule in RULES:
        assert len(re.findall(r"envs/\w+\.yaml", rule)) == 1 == len(re.findall(r"{SCRIPTS}/\w+\.py", rule)), (
            rule
        )
    assert {"train", "predict", "images"} <= programs("train") and {"figure", "index"} <= programs("analysis")


@pytest.mark.parametrize("environment", FOUND_BY_NAME)
def test_what_the_programs_of_an_environment_import_is_in_it(environment):
    there = installed(environment) | named(*FEATURES)  # a function asks for what an extra brings
    assert not {name: where for name, where in needed(environment).items() if name not in there}
