"""The programs of workflow/scripts, run in the process of the test."""

import json
import runpy
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[1] / "workflow/scripts"


def run_program(name: str, *arguments: object, **options: object) -> None:
    """Run workflow/scripts/NAME.py with these arguments; a keyword `output_model=x` is `--output-model x`.

    Raises:
        SystemExit: it failed; with its message or its exit code.
    """
    words = [str(word) for word in arguments]
    for option, value in options.items():
        text = json.dumps(value) if isinstance(value, dict) else str(value)
        words += [f"--{option.replace('_', '-')}", text]
    before = sys.argv, sys.path[:]
    sys.argv = [f"{name}.py", *words]
    try:
        runpy.run_path(str(SCRIPTS / f"{name}.py"), run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise
    finally:
        sys.argv, sys.path[:] = before
