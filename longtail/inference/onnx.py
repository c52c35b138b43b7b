"""A trained model as an ONNX file that takes pixels and gives probabilities, checked against PyTorch; and its use."""

import json
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from longtail.batches.cropping import resize_matrix, scale_and_shift
from longtail.data.collection.shape import BLACK
from longtail.files.atomic import atomic_path
from longtail.inference.logits import logits_of, probabilities
from longtail.models.card import ModelCard

TOLERANCE = 1e-4
"""What a probability, and a logit as a share of the largest one, may differ by from PyTorch's."""


class PixelsToProbabilities(nn.Module):
    """A model with its preprocessing before it and its softmax behind it.

    It turns uint8 images (N, 3, picture_size, picture_size) into logits and probabilities, each float32 (N, classes).
    """

    rows: torch.Tensor
    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, model: nn.Module, card: ModelCard) -> None:
        super().__init__()
        self.model = model
        self.sharpness = card.sharpness
        self.resizes = card.image_size != card.picture_size
        self.register_buffer("rows", resize_matrix(card.picture_size, card.image_size))
        scale, shift = scale_and_shift(card.mean, card.std)
        self.register_buffer("scale", scale.float())
        self.register_buffer("shift", shift.float())

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = images.float()
        if self.resizes:
            pixels = self.rows @ (pixels @ self.rows.T)
        logits = self.model(pixels * self.scale + self.shift)
        return logits, (logits * self.sharpness).softmax(dim=1)


def write_onnx(path: str | Path, model: nn.Module, card: ModelCard, opset: int | None = None) -> float:
    """Write the model, with its preprocessing, for batches of any size; the card goes into the file's metadata.

    Its input `images` is uint8, batch x 3 x picture_size x picture_size, RGB. Its outputs `logits` and `probabilities`
    are float32, batch x classes. Before the file gets its name, what onnxruntime computes is compared with PyTorch on
    batches of 1 and of 3 random images.

    Args:
        model, card: as `longtail.models.file.load_model` gives them, on the CPU.
        opset: the version of ONNX's operators, from OLDEST_OPSET on; None: the exporter's choice.

    Returns:
        The largest difference of a probability.

    Raises:
        ValueError: the exporter or onnxruntime cannot do that opset.
        ValueError: a probability differs by more than 1e-4, or a logit by more than 1e-4 of the largest one.
        OSError: the file could not be written.
    """
    images = _random_images(2, card)
    whole = PixelsToProbabilities(model, card).eval()
    with _quiet(), _one_precision_of_cudnn(), torch.no_grad():
        program = torch.onnx.export(
            whole,
            (images,),
            input_names=["images"],
            output_names=["logits", "probabilities"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
            opset_version=opset,
        )
    # With `dynamo` the exporter returns a program; only the old exporter returns None.
    program = cast(torch.onnx.ONNXProgram, program)
    if opset is not None and (found := program.model.opset_imports.get("")) != opset:
        raise ValueError(
            f"the exporter makes opset {found} of this model, and not {opset}; leave out --opset"
        )
    program.model.metadata_props.update(metadata(card))
    with atomic_path(path) as temporary:
        program.save(temporary, external_data=False)
        return largest_difference(temporary, model, card)


OLDEST_OPSET = 18
"""What PyTorch's exporter writes without a conversion that may fail."""


def newest_opset() -> int:
    """The newest version of the operators that the installed onnx knows."""
    from onnx.defs import onnx_opset_version

    return onnx_opset_version()


def metadata(card: ModelCard) -> dict[str, str]:
    """What the file says of itself: the card, the classes, and what goes in and comes out."""
    known = (
        f"where log(sum(exp({card.sharpness!r} * logits))) over the classes is at least {card.known_from!r}"
    )
    return {
        "longtail": json.dumps(asdict(card), sort_keys=True, ensure_ascii=False),
        "class_names": json.dumps(card.class_names, ensure_ascii=False),
        "input": (
            f"images: uint8, batch x 3 x {card.picture_size} x {card.picture_size}, RGB, 0 to 255; turned upright by "
            f"EXIF, transparent parts on white, {card.squared} with antialiased bilinear interpolation. The rest of "
            "the preprocessing is in the graph."
        ),
        "output": "logits and probabilities, batch x classes, in the order of class_names",
        "temperature": str(card.temperature),
        **({"known": known} if card.known_from is not None else {}),
    }


def example(card: ModelCard, file: str, picture: str = "photos/one.jpg") -> str:
    """Python that classifies a picture by the ONNX file and gives what `longtail predict` gives, without this project.

    It prepares pictures as `longtail.data.collection.decoding` does, for the one shape that this model takes.

    Args:
        file, picture: the paths that the code names.
    """
    lines = _CUT[card.resize]
    if card.resize == "pad":
        lines += _REFLECTED if card.pad_with == "reflect" else _BORDERED
    colour = tuple(card.pad_with or BLACK) if card.pad_with != "reflect" else ()
    code = _EXAMPLE.replace("IN_RGB\n", IN_RGB).replace("SHAPE\n", lines.replace("COLOUR", str(colour)))
    return re.sub("FILE|PICTURE", lambda found: _quoted(file if found[0] == "FILE" else picture), code)


def _quoted(text: str) -> str:
    """The text as Python writes it, in double quotes as the rest of the code where it has none itself."""
    return repr(text) if '"' in text else '"' + repr(f"'{text}")[2:]


IN_RGB = """\
# Pillow garbles some turned TIFFs that it reads from a disk itself.
with open(PICTURE, "rb") as file:
    picture = Image.open(io.BytesIO(file.read()))
if picture.format == "TIFF" and (picture.tag_v2.get(254) == 1 or {50706, 33422} & {*picture.tag_v2}):
    raise ValueError("a RAW file of a camera, or one that begins with a preview; develop it")
picture = ImageOps.exif_transpose(picture)
if picture.mode[0] in "IF":  # grey of 16 bits, of which the leading 8 count
    values = np.asarray(picture)
    if picture.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise ValueError("these pixel values have no known range; save the picture with 8 or 16 bits")
    picture = Image.fromarray((values >> 8).astype(np.uint8))
elif picture.has_transparency_data:
    picture = picture.convert("RGBA")
    picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
picture = picture.convert("RGB")
"""
"""Code that reads PICTURE as `longtail.data.collection.decoding` does, without it: `picture`, upright and in RGB."""
_EXAMPLE = """\
import io
import json

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession(FILE)
names = json.loads(session.get_modelmeta().custom_metadata_map["class_names"])
size = session.get_inputs()[0].shape[-1]

IN_RGB
SHAPE
pixels = np.asarray(picture).transpose(2, 0, 1)
logits, probabilities = session.run(None, {"images": pixels[None]})
print(names[probabilities[0].argmax()], probabilities[0].max())
"""
_CUT = {
    "stretch": """\
picture = picture.resize((size, size), Image.Resampling.BILINEAR)
""",
    "crop": """\
(width, height), side = picture.size, min(picture.size)
middle = ((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)
picture = picture.resize((size, size), Image.Resampling.BILINEAR, box=middle)
""",
    "pad": """\
width, height = (max(1, round(side * size / max(picture.size))) for side in picture.size)
picture = picture.resize((width, height), Image.Resampling.BILINEAR)
left, top = round((size - width) / 2), round((size - height) / 2)
""",
}
_BORDERED = """\
square = Image.new("RGB", (size, size), COLOUR)
square.paste(picture, (left, top))
picture = square
"""
_REFLECTED = """\
border = ((top, size - height - top), (left, size - width - left), (0, 0))
picture = np.pad(np.asarray(picture), border, mode="reflect")
"""


def largest_difference(path: Path, model: nn.Module, card: ModelCard) -> float:
    """The largest difference of a probability between the file in onnxruntime and the model in PyTorch.

    Raises:
        ValueError: as `write_onnx`.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except (errors.Fail, errors.InvalidGraph, errors.InvalidArgument, errors.NotImplemented) as error:
        raise ValueError(f"onnxruntime {onnxruntime.__version__} cannot run the file ({error})") from None
    reference = replace(card, recipe={**card.recipe, "precision": "fp32"})
    largest = 0.0
    for count in (1, 3):
        images = _random_images(count, card)
        expected = logits_of(model, images, reference, torch.device("cpu"))
        logits, shares = map(torch.from_numpy, session.run(None, {"images": images.numpy()}))
        of_logits = float((logits - expected).abs().max() / expected.abs().max().clamp(min=1))
        of_shares = float((shares - probabilities(expected, card)).abs().max())
        # The comparison is written so that NaN is refused too, since every comparison with NaN is false.
        if not (of_logits <= TOLERANCE and of_shares <= TOLERANCE):
            raise ValueError(
                f"onnxruntime and PyTorch differ by {of_shares:.1e} in a probability and by {of_logits:.1e} of the "
                f"largest logit, more than {TOLERANCE:g}: the file is not that model"
            )
        largest = max(largest, of_shares)
    return largest


def _random_images(count: int, card: ModelCard) -> torch.Tensor:
    draw = torch.Generator().manual_seed(count)
    size = (count, 3, card.picture_size, card.picture_size)
    return torch.randint(256, size, generator=draw, dtype=torch.uint8)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter, which warns of its own internals. No user can act on them, and the file is checked."""
    before = logging.root.manager.disable
    with warnings.catch_warnings(action="ignore"):
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)


@contextmanager
def _one_precision_of_cudnn() -> Iterator[None]:
    """Give convolutions the precision of recurrent layers, as torch.export refuses two different ones.

    `set_numerics` sets that of convolutions alone. The precision concerns GPUs, and the export runs on the CPU.
    """
    cudnn: Any = torch.backends.cudnn  # torch's types leave out what is used here
    convolutions, recurrent = cudnn.conv, cudnn.rnn
    before = convolutions.fp32_precision
    convolutions.fp32_precision = recurrent.fp32_precision
    try:
        yield
    finally:
        convolutions.fp32_precision = before
