"""What is well sealed and makes no sense, or is another file: one sentence that names it, and no output."""

import io
import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from odd_inputs import INPUTS, PROGRAMS, files, records, tables, write_results
from programs import run_program

from longtail.files.parquet import read_parquet, write_parquet
from longtail.files.sealed_json import seal

HARMLESS = {  # what a program does not read
    ("tensors", "no group"),
    *(("tables", f"no {name}") for name in ("image_id", "class_name")),
    *(("statistical_analysis", f"no {name}") for name in ("class_name", "subset")),
}
PAIRS = [(program, name) for program, names in INPUTS.items() for name in names if not name.endswith(".pth")]


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    return write_results(tmp_path_factory.mktemp("results"))


Content = bytes | str | Callable[[], pd.DataFrame]


def odd_files(path: Path) -> list[tuple[str, Content]]:
    """What may stand in place of a file, each with what is odd about it."""
    whole = path.read_bytes()
    found: list[tuple[str, Content]] = []
    if path.suffix == ".json":
        found += [(told, seal(record).encode()) for told, record in records()]
    elif path.suffix == ".csv":
        frame = pd.read_csv(path, dtype=object, keep_default_na=False)
        odd = [(told, table) for told, table in tables(path.stem, frame) if "None" not in told]
        found += odd
    else:
        frame = read_parquet(path)
        found += tables(path.stem, frame)
        foreign = io.BytesIO()
        frame.to_parquet(foreign)
        found.append(("no checksum", foreign.getvalue()))
    return found + list(files(whole))


def put(content: Content, path: Path) -> None:
    if callable(content):
        table = content()
        table.to_csv(path, index=False) if path.suffix == ".csv" else write_parquet(table, path)
    elif content == "folder":
        path.mkdir()
    elif content == "FIFO":
        os.mkfifo(path)
    else:
        path.write_bytes(content)


@pytest.mark.parametrize(
    "share", [30, pytest.param(1, marks=pytest.mark.long)], ids=["some of them", "all of them"]
)
@pytest.mark.parametrize(("program", "name"), PAIRS)
def test_an_odd_input_is_named_and_nothing_is_written(results, tmp_path, program, name, share):
    path, place = results / name, PAIRS.index((program, name))
    whole, out = path.read_bytes(), tmp_path / "out"
    words, options = PROGRAMS[program](results, out)
    passed, harmless = [], False
    for told, content in itertools.islice(odd_files(path), place % share, None, share):
        path.unlink()
        try:
            put(content, path)
            run_program(program.split()[0], *words, **options)
            harmless |= (program, told) in HARMLESS
            if (program, told) not in HARMLESS:
                passed.append(f"{told}: passed")
        except SystemExit as end:
            message = str(end.code)
            one_sentence = message.startswith("error: ") and "\n" not in message
            if not (one_sentence and str(path) in message):
                passed.append(f"{told}: {message[:200]}")
        except Exception as error:
            passed.append(f"{told}: {error!r}")
        finally:
            path.rmdir() if path.is_dir() else path.unlink()
            path.write_bytes(whole)
    assert not passed
    assert harmless or not [file for file in out.rglob("*") if file.is_file()]
