"""JSON with its own SHA-256 in it, so that damage is noticed."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SEAL = "content_sha256"
REMEDY = "Delete it and run the same command again: the workflow makes it anew."
"""What an error about a damaged file of any kind ends with."""


def seal(content: Mapping[str, Any], *, indent: int | None = None) -> str:
    """Write `content` as JSON text, with its SHA-256 in it."""
    return json.dumps(
        {**content, SEAL: digest(content)}, indent=indent, sort_keys=indent is None, ensure_ascii=False
    )


def unseal(text: str | bytes, path: str | Path) -> dict[str, Any]:
    """Read the content that `seal` wrote. A text without a hash comes from an earlier version and is not checked.

    Args:
        path: the file that the text comes from, for the error.

    Raises:
        ValueError: it is truncated or damaged; names the file and the remedy.
    """
    try:
        return _unsealed(json.loads(text), path)
    except RecursionError:
        raise ValueError(
            f"{path} is not of this project: its values are nested too deeply. {REMEDY}"
        ) from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is damaged or not of this project: {error}. {REMEDY}") from None


def _unsealed(content: Any, path: str | Path) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__} instead of named values. {REMEDY}")
    seal = content.pop(SEAL, None)
    if seal not in (None, digest(content)) or (seal is None and _sealed_by_another_name(content)):
        raise ValueError(f"{path} is damaged: its content does not match its checksum. {REMEDY}")
    return content


def _sealed_by_another_name(content: Mapping[str, Any]) -> bool:
    """Whether an entry is the hash of all others. If so, only the name of that entry was damaged."""
    return any(
        value == digest({other: content[other] for other in content if other != name})
        for name, value in content.items()
        if isinstance(value, str) and len(value) == 64
    )


def digest(content: Mapping[str, Any]) -> str:
    """The SHA-256 of `content` as JSON, which `seal` puts into it."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
