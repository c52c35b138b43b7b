"""Parquet files with a checksum over all values, so that damage is noticed."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from longtail.files.atomic import atomic_path
from longtail.files.regular import check_regular
from longtail.files.sealed_json import REMEDY, seal, unseal

CHECKSUM_KEY, ABOUT_KEY = b"longtail.sha256", b"longtail.about"
PART = 1000
"""How many lists `read_matrix` holds twice."""
BUFFER = 1 << 20
"""Bytes that are read from a file at once; without a limit a column is read whole before it is decoded."""


def write_parquet(frame: pd.DataFrame, path: str | Path, about: Mapping[str, Any] | None = None) -> None:
    """Write `frame`, without its index, whole or not at all.

    Parquet's own page checksums leave dictionaries and the footer uncovered, so that one flipped bit can turn
    into another number or name. A checksum over all values therefore goes into the file's metadata.

    Args:
        frame: columns of numbers, bools, strings, or lists of numbers of one type.
        path: final name; its folder is made.
        about: what is to be known of the table besides, as JSON; `read_about` gives it back.

    Raises:
        OSError: the file could not be written; nothing is left under `path`.
    """
    table = pa.Table.from_pandas(frame, preserve_index=False)
    told = {ABOUT_KEY: seal(about).encode()} if about else {}
    table = table.replace_schema_metadata({CHECKSUM_KEY: _content_sha256(table), **told})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)


def read_parquet(path: str | Path, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Read what `write_parquet` wrote, after comparing every value with the checksum.

    Args:
        columns: names that the caller relies on; further columns are returned as well.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated, damaged, from another program, or lacks one of `columns`; names the
            file and the remedy.
    """
    path = Path(path)
    with _opened(path) as file:
        table = file.read()
        found = _content_sha256(table)
    _check(path, file.schema_arrow, found, columns)
    return table.to_pandas()


def read_matrix(path: str | Path, name: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Read a file with a column of equally long lists of numbers: its other columns, and the lists as one array.

    The array is filled part by part, so it is in memory once, whatever its size.

    Args:
        name: the column of lists.

    Returns:
        The frame of the other columns, N rows, and the array, N x C, in the type of the file.

    Raises:
        As `read_parquet`; ValueError also where the column holds something else.
    """
    path = Path(path)
    with _opened(path) as file:
        names, rows = file.schema_arrow.names, file.metadata.num_rows
        others = file.read([other for other in names if other != name or not rows])
        digest = hashlib.sha256()
        matrix = np.empty((0, 0))
        for other in names:
            digest.update(json.dumps([other, rows]).encode())
            if other in others.column_names:
                _digest_values(digest, others.column(other).combine_chunks())
                continue
            filled = 0
            for part in file.iter_batches(PART, columns=[name], use_threads=False):
                values = _equal_lists(part.column(0))
                if values is None or (filled and values.shape[1] != matrix.shape[1]):
                    raise ValueError(f"its column {name} takes lists of equally many numbers")
                if not filled:
                    matrix = np.empty((rows, values.shape[1]), values.dtype)
                    digest.update(np.full(rows, values.shape[1], "<i8").tobytes())
                    digest.update(str(values.dtype).encode())
                digest.update(values.data)
                matrix[filled : filled + len(values)] = values
                filled += len(values)
    _check(path, file.schema_arrow, digest.hexdigest().encode(), [name])
    return others.to_pandas().drop(columns=name, errors="ignore"), matrix


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """The file, to be read within the block; what goes wrong there is a ValueError that names it and the remedy."""
    check_regular(path)
    with pa.OSFile(str(path)) as stream:
        try:
            yield pq.ParquetFile(stream, buffer_size=BUFFER, pre_buffer=False)
        except Exception as error:  # Arrow raises many unrelated types on damaged bytes
            raise ValueError(f"{path} cannot be read as parquet ({error}). {REMEDY}") from error


def _check(path: Path, schema: pa.Schema, found: bytes, columns: Sequence[str]) -> None:
    expected = (schema.metadata or {}).get(CHECKSUM_KEY)
    if expected is None:
        raise ValueError(f"{path} has no checksum, so this project did not write it. {REMEDY}")
    if expected != found:
        raise ValueError(f"{path} is damaged: its values do not match its checksum. {REMEDY}")
    if missing := [name for name in columns if name not in schema.names]:
        raise ValueError(f"{path} has no column {missing}, only {schema.names}. {REMEDY}")


def _equal_lists(lists: Any) -> np.ndarray | None:
    """Lists as one array, N x C; None if they are no equally long lists of numbers."""
    if not pa.types.is_list(lists.type) or lists.null_count:
        return None
    lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
    values = lists.flatten().to_numpy(zero_copy_only=False)
    equal = len(lengths) > 0 and lengths[0] > 0 and bool((lengths == lengths[0]).all())
    return values.reshape(len(lengths), -1) if equal and values.dtype.kind in "iuf" else None


def read_about(path: str | Path) -> dict[str, Any]:
    """What `write_parquet` was told of the table besides, without reading its values; empty if nothing.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated, damaged or no parquet; names it and the remedy.
    """
    check_regular(Path(path))
    try:
        metadata = pq.read_schema(path).metadata or {}
    except pa.ArrowException as error:
        raise ValueError(f"{path} cannot be read as parquet ({error}). {REMEDY}") from error
    return unseal(metadata[ABOUT_KEY], path) if ABOUT_KEY in metadata else {}


def _content_sha256(table: pa.Table) -> bytes:
    digest = hashlib.sha256()
    for name in table.column_names:
        digest.update(json.dumps([name, table.num_rows]).encode())
        _digest_values(digest, table.column(name).combine_chunks())
    return digest.hexdigest().encode()


def _digest_values(digest: Any, column: Any) -> None:
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        digest.update(
            column.value_lengths().fill_null(-1).to_numpy(zero_copy_only=False).astype("<i8").tobytes()
        )
        column = column.flatten()
    values = column.to_numpy(zero_copy_only=False)
    digest.update(str(values.dtype).encode())
    # An object array holds strings; its bytes would be their addresses.
    digest.update(json.dumps(values.tolist()).encode() if values.dtype == object else values.tobytes())
