"""Parquet files with a checksum over all values, so that damage is noticed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from longtail.files.atomic import atomic_path
from longtail.files.regular import check_regular
from longtail.files.sealed_json import REMEDY, seal, unseal

CHECKSUM_KEY, ABOUT_KEY = b"longtail.sha256", b"longtail.about"


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
    check_regular(path)
    with path.open("rb") as file:
        try:
            table = pq.read_table(file)
            expected = (table.schema.metadata or {}).get(CHECKSUM_KEY)
            found = _content_sha256(table)
        except Exception as error:  # Arrow raises many unrelated types on damaged bytes
            raise ValueError(f"{path} cannot be read as parquet ({error}). {REMEDY}") from error
    if expected is None:
        raise ValueError(f"{path} has no checksum, so this project did not write it. {REMEDY}")
    if expected != found:
        raise ValueError(f"{path} is damaged: its values do not match its checksum. {REMEDY}")
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise ValueError(f"{path} has no column {missing}, only {table.column_names}. {REMEDY}")
    return table.to_pandas()


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
        column = table.column(name).combine_chunks()
        if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            digest.update(
                column.value_lengths().fill_null(-1).to_numpy(zero_copy_only=False).astype("<i8").tobytes()
            )
            column = column.flatten()
        values = column.to_numpy(zero_copy_only=False)
        digest.update(str(values.dtype).encode())
        # An object array holds strings; its bytes would be their addresses.
        digest.update(json.dumps(values.tolist()).encode() if values.dtype == object else values.tobytes())
    return digest.hexdigest().encode()
