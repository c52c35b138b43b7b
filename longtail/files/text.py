"""Text from elsewhere, such as the name of a class or of a file, shown where it could do more than be read.

printable    on a terminal, which obeys control characters; `without_middle` is a name that fits there
in_markdown  in Markdown, where signs make links, tags and cells of a table; `as_code` is its form for names, and
             `markdown_table` makes a table of such cells
in_csv       in a csv, where a spreadsheet runs what begins like a formula
"""

import re
from collections.abc import Container, Iterable
from unicodedata import east_asian_width

# Control characters, ends of lines, signs that turn the direction of writing, and halves of characters.
OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
MARKDOWN = re.compile(r"[\\`<\[|]")
FORMULA = re.compile(r"'*[=+\-@]")
NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")


def printable(text: str) -> str:
    r"""The text in one line that no terminal obeys: a control character becomes what Python writes, such as `\x1b`."""
    return OBEYED.sub(lambda sign: sign[0].encode("unicode_escape").decode(), text)


def without_middle(name: str, room: int) -> str:
    """The name in at most so many letters, without its middle where it is longer."""
    if len(name) <= room:
        return name
    end = (room - 1) // 2
    return f"{name[: room - 1 - end]}…{name[len(name) - end :]}"


def in_markdown(text: str) -> str:
    """The text as Markdown that shows it as it is, also in a cell of a table."""
    return MARKDOWN.sub(lambda sign: f"\\{sign[0]}", printable(text))


def markdown_table(
    headings: Iterable[str], rows: Iterable[Iterable[str]], right: Container[int] = ()
) -> list[str]:
    """The lines of a table, whose cells are Markdown already.

    A column is as wide as its widest cell, and wider than its heading by two, which leaves room for marks of bold text.

    Args:
        right: the places of the columns that align right.
    """
    table = [[*headings], *map(list, rows)]
    widths = [max([width(heading) + 2, *map(width, cells)]) for heading, *cells in zip(*table, strict=True)]

    def line(cells: list[str]) -> str:
        filled = [
            f"{' ' * (size - width(cell))}{cell}" if place in right else f"{cell}{' ' * (size - width(cell))}"
            for place, (size, cell) in enumerate(zip(widths, cells, strict=True))
        ]
        return f"| {' | '.join(filled)} |"

    rule = [
        f"{'-' * (size + 1)}:" if place in right else f":{'-' * (size + 1)}"
        for place, size in enumerate(widths)
    ]
    return [line(table[0]), f"|{'|'.join(rule)}|", *map(line, table[1:])]


def width(text: str) -> int:
    """How many Latin letters are about as wide as a text; Chinese, Japanese and Korean ones count twice."""
    return sum(2 if east_asian_width(sign) in "FW" else 1 for sign in text)


def as_code(name: str) -> str:
    """A name as inline code in a cell of a table. Its fence has more backticks than any run of them in the name."""
    longest = max(map(len, re.findall("`+", name)), default=0)
    fence, pad = "`" * (longest + 1), " " if longest else ""
    shown = printable(name).replace("|", "\\|")
    return f"{fence}{pad}{shown}{pad}{fence}"


def in_csv(text: str) -> str:
    """The text as a cell that no spreadsheet runs: an apostrophe before what begins like a formula and is no number.

    A name that begins so with an apostrophe of its own gets another, so that two names stay two.

    Source: OWASP, CSV Injection. Quotes would not do, since spreadsheets run formulas in quotes too.
    """
    shown = printable(text)
    return f"'{shown}" if FORMULA.match(shown) and not NUMBER.fullmatch(shown) else shown
