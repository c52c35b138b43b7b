"""Published pretrained weights: what they expect of images, and how a file of them is had."""

import hashlib
import re
import sys
import zipfile
from dataclasses import asdict, dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from safetensors.torch import load_file
from torch import Tensor

from longtail.models import pretrained_source
from longtail.models.weights import explain_mismatch


@dataclass(frozen=True, kw_only=True)
class Published:
    """What a library states about weights that it publishes.

    `source` is LIBRARY/ARCHITECTURE.TAG, `input_size` the height and width in pixels, `mean` and `std` belong to
    channels that range from 0 to 1. `url` is None where the library has the architecture but no weights.
    """

    source: str
    url: str | None
    input_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def describe(name: str) -> Published:
    """The facts of the published weights of a model, from its library's own metadata; needs no network.

    Raises:
        ValueError: an unknown model or tag, or a model that nobody publishes weights of.
    """
    source = pretrained_source(name)
    if source is None:
        raise ValueError(f"{name} has no published weights; set pretrained: false")
    library, _, architecture = source.partition("/")
    return _describe_timm(architecture) if library == "timm" else _describe_torchvision(architecture)


def fetch(name: str, origin: str | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights of a model without its classifier, and the facts about them.

    Files come from and go to the libraries' own caches: `hub/checkpoints` in TORCH_HOME for torchvision, HF_HOME
    for timm. A file for timm that was put by hand into `hub/checkpoints`, as ARCHITECTURE.TAG.safetensors, goes
    before its cache. Files are never unpickled beyond tensors.

    Args:
        origin: path or address of a file (.pth or .safetensors, classifier included) to use instead.

    Returns:
        The state of the backbone that `build_backbone` makes; and the fields of `Published` with `model`, the
        name `file` and the `sha256` of the file read (None for one that timm got by itself), and `as_published`:
        whether that hash begins as the file's name says, None where the name says nothing.

    Raises:
        ValueError: as `describe`; a file that is damaged, unsafe to read or of another model.
        FileNotFoundError: no file and no way to get it; says what to put where.
    """
    published = describe(name)
    library, _, architecture = published.source.partition("/")
    path = _path_of(published, origin)
    state = None if path is None else _read_state(path)
    where = path or published.url
    if library == "timm":
        backbone_state = _through_timm(published, state, where)
    else:
        backbone_state = _through_torchvision(architecture, published.input_size, state, where)
    facts = {
        "model": name,
        **asdict(published),
        **(_file_facts(path) if path else {"file": None, "sha256": None, "as_published": None}),
    }
    return backbone_state, facts


def _describe_torchvision(architecture: str) -> Published:
    from torchvision import models

    from longtail.models.from_torchvision import check_name

    base, _, tag = architecture.partition(".")
    check_name(base)
    choices = models.get_model_weights(base)
    if tag and tag not in choices.__members__:
        raise ValueError(
            f"torchvision/{architecture}: no such weights; tags of {base}: {', '.join(choices.__members__)}"
        )
    weights = choices[tag] if tag else choices.DEFAULT
    preset = weights.transforms()
    return Published(
        source=f"torchvision/{base}.{weights.name}",
        url=weights.url,
        input_size=preset.crop_size[0],
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )


def _describe_timm(architecture: str) -> Published:
    from timm.models import get_pretrained_cfg

    from longtail.models.from_timm import check_name

    check_name(architecture)
    config = get_pretrained_cfg(architecture)
    file_name = config.hf_hub_filename or "model.safetensors"
    on_hub = config.hf_hub_id and f"https://huggingface.co/{config.hf_hub_id}/resolve/main/{file_name}"
    url = on_hub or config.url or None
    tag = f".{config.tag}" if url and config.tag else ""
    return Published(
        source=f"timm/{config.architecture}{tag}",
        url=url,
        input_size=config.input_size[-1],
        mean=tuple(config.mean),
        std=tuple(config.std),
    )


def _path_of(published: Published, origin: str | None) -> Path | None:
    """The file to read, downloaded if need be; None where timm gets it by itself."""
    if origin is not None and not re.match("https?://", origin):
        path = Path(origin)
        if not path.is_file():
            raise FileNotFoundError(f"weights file {path} does not exist (looked for {path.resolve()})")
        return path
    if origin is not None or published.source.startswith("torchvision/"):
        return _downloaded(origin or published.url)
    if published.url is None:
        raise ValueError(f"{published.source} has no published weights; set pretrained: false")
    by_hand = _path_by_hand(published)
    return by_hand if by_hand.is_file() else None


def _path_by_hand(published: Published) -> Path:
    """Where a file of timm's may be put; on the hub most are called `model.safetensors`."""
    return _checkpoints() / (
        published.source.removeprefix("timm/") + Path(urlsplit(published.url).path).suffix
    )


def _checkpoints() -> Path:
    return Path(torch.hub.get_dir(), "checkpoints")


def _downloaded(url: str) -> Path:
    """The file of that address in torch.hub's cache, where torchvision keeps it too."""
    path = _checkpoints() / Path(urlsplit(url).path).name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), _hash_in(path.name), progress=sys.stderr.isatty())
        except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: the hash differs
            raise _unavailable(path, url, error) from None
    return path


def _unavailable(path: Path, url: str, error: Exception) -> FileNotFoundError:
    reason = " ".join(str(error).split())
    return FileNotFoundError(
        f"{path.name} could not be fetched ({reason}). Where there is a network, download {url}; then put it as "
        f"{path.name} into {path.parent}, or name the file as models.NAME.weights in the configuration"
    )


def _hash_in(file_name: str) -> str | None:
    """The first digits of the SHA-256, which torch.hub's files carry in their names."""
    found = re.search(r"-([0-9a-f]{8,})\.", file_name)
    return found[1] if found else None


def _file_facts(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    expected = _hash_in(path.name)
    return {
        "file": path.name,
        "sha256": digest,
        "as_published": digest.startswith(expected) if expected else None,
    }


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            _refuse_compressed(path)
            state = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # torch.load's exceptions on foreign files are of many unrelated types.
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{path} cannot be read as weights: it is damaged, or holds more than tensors ({reason}); "
            "delete it and fetch it again"
        ) from None
    if not isinstance(state, dict):
        raise ValueError(
            f"{path} holds a {type(state).__name__}; expected tensors by name, as `state_dict` gives"
        )
    return state


def _refuse_compressed(path: Path) -> None:
    """PyTorch never compresses the parts of its files; one that is could unpack to any size."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            parts = [part.filename for part in archive.infolist() if part.compress_type != zipfile.ZIP_STORED]
        if parts:
            raise ValueError(f"its part {parts[0]} is compressed")


def _through_torchvision(architecture: str, image_size: int, state: dict, path: Path) -> dict[str, Tensor]:
    from longtail.models.from_torchvision import new_model, remove_classifier

    base = architecture.partition(".")[0]
    model = new_model(base, image_size)
    # The DenseNet files are older than the names of DenseNet's layers.
    state = {re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d)", r"\1\2", key): state[key] for key in state}
    with explain_mismatch(path, base):
        model.load_state_dict(state)
    remove_classifier(model, base)
    return model.state_dict()


def _through_timm(published: Published, state: dict | None, where: Path | str) -> dict[str, Tensor]:
    """timm's own loading, which knows the many formats of its models' files."""
    from longtail.models.from_timm import new_model

    architecture = published.source.removeprefix("timm/")
    overlay = None if state is None else {"state_dict": state}
    try:
        with explain_mismatch(where, architecture):
            model = new_model(architecture, pretrained=True, pretrained_cfg_overlay=overlay)
    except OSError as error:
        raise _unavailable(_path_by_hand(published), where, error) from None
    model.reset_classifier(0)
    return model.state_dict()
