"""Tables in Markdown: a reader of Markdown finds the same cells in them."""

from itertools import pairwise

import pytest
from markdown_it import MarkdownIt

from longtail.files.text import in_markdown, markdown_table, width

CELLS = ["", "a", "97.50 ± 0.31", "a|b", "猫", "**9.5**", "−1", r"back\slash", "`"]


@pytest.mark.parametrize("rows", [0, 1, 3])
@pytest.mark.parametrize("right", [(), (1,), (0, 1, 2)])
def test_a_reader_finds_the_cells_and_their_alignment(rows, right):
    headings = ["Name", "x", ""]
    cells = [[CELLS[(3 * row + place) % len(CELLS)] for place in range(3)] for row in range(rows)]
    lines = markdown_table(headings, [map(in_markdown, row) for row in cells], right)
    assert len({width(line) for line in lines}) == 1, "the columns are not even"
    tokens = MarkdownIt("commonmark").enable("table").parse("\n".join(lines))
    shown = [
        "".join(child.content for child in after.children)
        for token, after in pairwise(tokens)
        if token.type in ("th_open", "td_open")
    ]
    plain = [cell.strip("*") for row in cells for cell in row]
    assert shown == [*headings, *plain]
    aligned = [
        "right" in str(token.attrGet("style")) for token in tokens if token.type in ("th_open", "td_open")
    ]
    assert aligned == [place in right for place in range(3)] * (rows + 1)
