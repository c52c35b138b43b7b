"""The table of attacks in docs/reliability.md is that of the tests that there are."""

import ast
from functools import cache
from pathlib import Path

from attacks import KINDS


@cache
def functions_in(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def test_every_attack_is_a_test_and_has_a_row(repository):
    rows = [line.split("|") for line in (repository / "docs/reliability.md").read_text().splitlines()]
    written = {cells[1].strip(): cells for cells in rows if len(cells) == 7}
    for kind in KINDS:
        for test in kind.tests:
            file, _, name = test.partition("::")
            assert name in {"", *functions_in(repository / "tests" / file)}, f"{test}: there is no such test"
        cells = written[kind.tried]
        assert cells[2].strip() == kind.promised, "run tests/attacks.py --write"
        assert 0 < int(cells[4]) == int(cells[5]), f"not all of these held: {kind.tried}"
    assert len({kind.tried for kind in KINDS}) == len(KINDS)
