"""Published pretrained weights: how images must be prepared for them, and how their file is fetched and read."""

import hashlib
import os
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

from longtail.files.safetensors import read_content, read_safetensors
from longtail.models import pretrained_source
from longtail.models.card import KEY, card_from
from longtail.models.weights import explain_mismatch
from longtail.settings import local_file


@dataclass(frozen=True, kw_only=True)
class Published:
    """The facts that a library states about weights that it publishes.

    Attributes:
        source: LIBRARY/ARCHITECTURE.TAG.
        url: None where the library has the architecture but no weights.
        input_size: height and width in pixels.
        mean, std: of the three channels, from 0 to 1, that images were normalised with.
        license: what the library says of it; None: nothing.
    """

    source: str
    url: str | None
    input_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    license: str | None = None


def describe(name: str) -> Published:
    """The facts of the published weights of a model, from its library's own metadata; needs no network.

    Raises:
        ValueError: an unknown model or tag, or a model that nobody publishes weights of.
    """
    source = pretrained_source(name)
    if source is None:
        raise _nothing_published(name)
    library, _, architecture = source.partition("/")
    return _describe_timm(architecture) if library == "timm" else _describe_torchvision(architecture)


def fetch(name: str, origin: str | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights of a model without its classifier, and the facts about them.

    Files are kept in the libraries' own caches: `hub/checkpoints` in TORCH_HOME for torchvision, HF_HOME for timm. A
    file for timm that somebody put into `hub/checkpoints`, as ARCHITECTURE.TAG.safetensors, is used instead of the
    one in its cache. Of a file nothing but tensors is unpickled.

    Args:
        origin: path or address of a file (.pth or .safetensors, classifier included) to use instead; or a trained model
            of this project, of the same architecture.

    Returns:
        The state of the backbone that `build_backbone` makes. And its facts: the fields of `Published`, `model`,
        the name `file` and the `sha256` of the file that was read (None for one that timm fetched by itself), and
        `as_published`, which says whether that hash begins as the file's name says (None: the name says nothing).

    Raises:
        ValueError: as `describe`; or a file is damaged, unsafe to read or holds another model's weights.
        FileNotFoundError: there is no file and no way to get it; says what to put where.
    """
    if origin and (own := _own_model(name, Path(origin))):
        return own
    published = describe(name)
    library, _, architecture = published.source.partition("/")
    address = origin or published.url
    if address is None:
        raise _nothing_published(published.source)
    if library == "timm" and origin is None:
        # Users may put the file under this name. On the hub most files are called `model.safetensors`.
        path = _checkpoints() / (architecture + Path(urlsplit(address).path).suffix)
    else:
        path = _local(address)
    if library == "torchvision":
        state = _through_torchvision(architecture, published.input_size, path)
    elif path.is_file():
        state = _through_timm(architecture, path, {"state_dict": _read_state(path)})
    else:
        try:
            state = _through_timm(architecture, address)
        except OSError as error:
            raise _unavailable(path, address, error) from None
    facts = {"model": name, **asdict(published), **_file_facts(path)}
    return state, facts | ({"license": None} if origin else {})  # nobody knows that of a file of one's own


def _own_model(name: str, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The backbone of a model of this project and its facts, as `fetch` returns them; None: the file is none."""
    if path.suffix != ".safetensors" or not path.is_file() or not read_content(path, KEY):
        return None
    tensors, content = read_safetensors(path, KEY)
    card = card_from(content, {key: tensor.shape for key, tensor in tensors.items()}, path)
    if card.architecture != name:
        raise ValueError(f"{path} holds a model of {card.architecture}; expected {name}")
    if card.experts > 1:
        raise ValueError(
            f"{path} holds a model of {card.experts} experts; weights are those of one network, so give a run without"
        )
    prefix = "backbone."
    state = {key.removeprefix(prefix): tensors[key] for key in tensors if key.startswith(prefix)}
    published = Published(
        source=f"longtail/{name}",
        url=None,
        input_size=card.image_size,
        mean=tuple(card.mean),
        std=tuple(card.std),
    )
    return state, {"model": name, **asdict(published), **_file_facts(path)}


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
        license=weights.meta.get("license"),
    )


def _describe_timm(architecture: str) -> Published:
    from timm.models import get_pretrained_cfg

    from longtail.models.from_timm import check_name

    check_name(architecture)
    config = get_pretrained_cfg(architecture)
    if config is None:
        raise _nothing_published(f"timm/{architecture}")
    file_name = config.hf_hub_filename or "model.safetensors"
    on_hub = config.hf_hub_id and f"https://huggingface.co/{config.hf_hub_id}/resolve/main/{file_name}"
    url = on_hub or (config.url if isinstance(config.url, str) and config.url else None)
    tag = f".{config.tag}" if url and config.tag else ""
    return Published(
        source=f"timm/{config.architecture}{tag}",
        url=url,
        input_size=config.input_size[-1],
        mean=tuple(config.mean),
        std=tuple(config.std),
        license=config.license,
    )


def _checkpoints() -> Path:
    return Path(torch.hub.get_dir(), "checkpoints")


def _local(address: str) -> Path:
    """The file of that path; or that of a URL in torch.hub's cache, where torchvision keeps its files too."""
    if path := local_file(address):
        if not path.is_file():
            raise FileNotFoundError(
                f"weights file {path} does not exist (looked for {os.path.realpath(path)})"
            )
        return path
    path = _checkpoints() / Path(urlsplit(address).path).name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(
                address, str(path), _hash_in(path.name), progress=sys.stderr.isatty()
            )
        except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: the hash differs
            raise _unavailable(path, address, error) from None
    return path


def _nothing_published(name: str) -> ValueError:
    return ValueError(f"{name} has no published weights; set pretrained: false")


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
    if not path.is_file():  # timm fetched one of its own
        return {"file": None, "sha256": None, "as_published": None}
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
    except Exception as error:  # torch.load raises many unrelated types on foreign files
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
    """Refuse a file with a compressed part, which could unpack to any size. PyTorch writes none."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            parts = [part.filename for part in archive.infolist() if part.compress_type != zipfile.ZIP_STORED]
        if parts:
            raise ValueError(f"its part {parts[0]} is compressed")


def _through_torchvision(architecture: str, image_size: int, path: Path) -> dict[str, Tensor]:
    from longtail.models.from_torchvision import new_model, remove_classifier

    state = _read_state(path)
    base = architecture.partition(".")[0]
    model = new_model(base, image_size)
    # The files of DenseNet are older than the names of its layers.
    state = {re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d)", r"\1\2", key): state[key] for key in state}
    with explain_mismatch(path, base):
        model.load_state_dict(state)
    remove_classifier(model, base)
    return model.state_dict()


def _through_timm(
    architecture: str, origin: Path | str, overlay: dict[str, Any] | None = None
) -> dict[str, Tensor]:
    """Load a file by timm's own function, since it knows the many formats of the files of timm's models."""
    from longtail.models.from_timm import new_model

    with explain_mismatch(origin, architecture):
        model = new_model(architecture, pretrained=True, pretrained_cfg_overlay=overlay)
    model.reset_classifier(0)
    return model.state_dict()
