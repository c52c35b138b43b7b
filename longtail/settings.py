"""The parts that all settings share: the types of values, the base class of sections, and the sentences of errors.

Every room keeps its own settings; this module keeps what they are made of. It imports neither PyTorch nor anything
else of this project, so a plan that only reads settings is quick.
"""

import ast
import difflib
import inspect
import os
import re
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, ParamSpec, Self, TypeVar, get_args, get_origin
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetPydanticSchema,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import core_schema

MOST = 10**9
"""More are more than any experiment has, and calculations with them may end in no number."""
Count = Annotated[int, Field(ge=1, le=MOST)]
MOST_THREADS = 1024
"""More are more than any machine has, and may be more than it lets a process start."""
Threads = Annotated[int, Field(ge=1, le=MOST_THREADS)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
OpenUnit = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
HalfOpenUnit = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Unit = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Rgb = tuple[NonNegative, NonNegative, NonNegative]
# Names become folder names and Snakemake wildcards.
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$"
Name = Annotated[str, Field(pattern=NAME, max_length=100)]
Reduction = Literal["weighted_mean", "batch_mean"]
Shape = Literal["concave", "linear", "convex", "exp"]

PACKAGE = Path(__file__).parent


def local_path(text: str) -> str:
    """The path that somebody wrote, with ~ replaced by the home directory once and for all.

    Variables of the environment stay as they are and are refused: the next shell, or the node of a cluster, may have
    another value, and so another folder.

    Raises:
        ValueError: it is empty, there is no such home directory, a variable stands in it, or no file system takes it.
    """
    if not text.strip():
        raise ValueError(f"found {text!r}; expected a path")
    path = os.path.expanduser(text)  # noqa: PTH111 (a Path would drop the ./ before a name, and change keys)
    if path.startswith("~"):
        raise ValueError(
            f"there is no home directory for {text.partition('/')[0]}; write ./~ for a folder of that name"
        )
    if path.startswith(("-", "@")):
        raise ValueError(
            f"programs would take {path} for an option; name another one, or write it whole, from / on"
        )
    if "\0" in path or len(path.encode(errors="replace")) > 3000:
        raise ValueError("must be a path of at most 3,000 bytes, without null bytes")
    if any(len(part.encode(errors="replace")) > 255 for part in path.split("/")):
        raise ValueError("has a part of more than 255 bytes, and no file system takes that")
    variable = re.search(r"\$(\w+|\{\w+\})", text)
    if variable and not re.match("https?://", text) and not os.path.lexists(text):
        value = os.environ.get(variable[1].strip("{}"))
        raise ValueError(
            f"the variable {variable[0]} of the environment would not be replaced in {text}; write "
            + (f"its value, here {value}" if value else "the path itself, as there is no such variable here")
        )
    return path


LocalPath = Annotated[str, AfterValidator(local_path)]
SCHEME = re.compile("([A-Za-z][A-Za-z0-9+.-]*):")


def local_file(address: str) -> Path | None:
    """The path that a `file:` address or a plain path means; None for an address on the network.

    Raises:
        ValueError: it is neither.
    """
    scheme = SCHEME.match(address)
    if scheme is None:
        return Path(address).expanduser()
    if scheme[1].lower() == "file":
        parts = urlsplit(address)
        if parts.netloc not in ("", "localhost"):
            raise ValueError(
                f"a file: address must name a file of this machine, found the host {parts.netloc!r}"
            )
        return Path(unquote(parts.path))
    if scheme[1].lower() in ("http", "https"):
        return None
    if Path(address).exists():
        return Path(address)
    raise ValueError("neither http:, https: or file:, nor the path of a file")


def _address(text: str) -> str:
    """An address as somebody wrote it; the ~ of a path is replaced.

    Raises:
        ValueError: nothing can be fetched from there.
    """
    why = ""
    try:
        file, parts = local_file(text.strip()), urlsplit(text)
        if file.name if file else parts.hostname and parts.port != 0:
            return local_path(text)
    except ValueError as error:
        why = f" ({error})"
    raise ValueError(
        f"found {_short(text)}{why}; expected https://HOST/FILE, http://HOST/FILE, file:///FILE or the path of a file"
    )


Address = Annotated[str, AfterValidator(_address)]

P = ParamSpec("P")
R = TypeVar("R")


class Section(BaseModel):
    """Base of all sections of settings: unknown keys are errors, values do not change after they were checked."""

    # Only the schema for editors shows the docstrings of settings; reading them would slow every plan down.
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        # Pydantic takes True for 1, and YAML takes yes, no, on and off for truth values.
        if _holds_truth_values(value) and not _takes_truth_values(
            cls.model_fields[str(info.field_name)].annotation
        ):
            raise ValueError(
                f"found {_short(value)}; expected no truth value, as yes, no, on, off, true and false are"
            )
        return value

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """The section with these settings, and the defaults of those that are left out.

        Raises:
            ValueError: names every unknown setting with the nearest known one, and every value with what is allowed.
        """
        try:
            return cls.model_validate(dict(settings))
        except ValidationError as error:
            raise ValueError("\n".join(problems(cls, error, cls.__name__.lower()))) from None


def path_argument(text: str) -> str:
    """The type of an argument of a program that is a path; the shell leaves the ~ of `--output=~/x` to the program.

    Raises:
        argparse.ArgumentTypeError: as `local_path`.
    """
    try:
        return local_path(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def one_of(names: Iterable[str]) -> Any:
    """Annotates a string that must be one of these names, where they are known only at run time."""
    return GetPydanticSchema(lambda *_: core_schema.literal_schema(list(names)))


def constant(file: str, name: str, default: Any = ...) -> Any:
    """The literal that a module of this project assigns to a name at its top level, read without importing it.

    Args:
        file: path of the module within the package, such as "batches/sampling.py".
        default: what is returned where nothing is assigned to the name.

    Raises:
        ValueError: nothing is assigned to the name, and there is no default.
    """
    text = (PACKAGE / file).read_text(encoding="utf-8")
    found = re.search(rf"^{name} = (.+?)\n(?![ )\]}}])", text, re.MULTILINE | re.DOTALL)
    if found is None and default is ...:
        raise ValueError(f"{PACKAGE / file} assigns nothing to {name}")
    return ast.literal_eval(found[1]) if found else default


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Wrap the function so that it refuses arguments outside the range or the choice that their annotation states.

    It checks arguments annotated with the types above and `Literal`. Whole numbers become floats where the type is a
    float.

    Raises:
        ValueError: names the argument, what was found and what is allowed; when the function is called.
    """
    signature = inspect.signature(function)
    stated = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if get_origin(parameter.annotation) in (Annotated, Literal)
    }

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        given = signature.bind(*args, **kwargs)
        for name, annotation in stated.items():
            if name in given.arguments:
                given.arguments[name] = typed(name, given.arguments[name], annotation)
        return function(*given.args, **given.kwargs)

    return call


def typed(name: str, value: Any, annotation: Any) -> Any:
    """The value as the annotation has it, such as 1.0 for 1; text and truth values are no numbers.

    Raises:
        ValueError: it is of another type, or out of range; names `name`, what was found and what is allowed.
    """
    try:
        # Pydantic would otherwise accept text and truth values as numbers.
        return TypeAdapter(annotation).validate_python(value, strict=isinstance(value, str | bool))
    except ValidationError as error:
        raise ValueError(f"{name}: {_found(error.errors()[0])}") from None


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The sentence that `what` is not known, with the known name that is most like `name`, and all that are allowed."""
    known = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"{what} is not known; {hint}allowed: {', '.join(known) or 'none'}"


def problems(section: type[BaseModel], error: ValidationError, where: str = "") -> list[str]:
    """One sentence for each thing to mend: the key, what was found, what is allowed.

    Args:
        where: the key of the section itself.
    """
    return [line for detail in error.errors() for line in problem(section, detail, where).splitlines()]


def problem(section: type[BaseModel], detail: Mapping[str, Any], where: str) -> str:
    """The sentence for one of pydantic's errors; a line each where a check found several things."""
    path = ".".join([where, *map(str, detail["loc"])]).strip(".")
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error":
        # A check of several settings names the keys itself.
        return message if message.startswith(f"{path}.") or not path else f"{path}: {message}"
    if detail["type"] == "extra_forbidden":
        return unknown(path, str(detail["loc"][-1]), _settings_at(section, detail["loc"][:-1]))
    if detail["type"] == "missing":
        return f"{path} is missing"
    return f"{path}: {_found(detail)}"


def _settings_at(section: type[BaseModel], path: Iterable[str | int]) -> list[str]:
    """The settings of the section that a path of keys leads to; the keys of entries are passed over."""
    for key in path:
        if key in section.model_fields:
            section = next(_sections(section.model_fields[str(key)].annotation), section)
    return list(section.model_fields)


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _sections(part)


def _holds_truth_values(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_truth_values, value.values()))
    return (
        any(map(_holds_truth_values, value)) if isinstance(value, list | tuple) else isinstance(value, bool)
    )


def _takes_truth_values(annotation: Any) -> bool:
    """Whether a truth value may stand somewhere in a setting of this type; sections within it check their own."""
    return (
        annotation in (bool, Any)
        or any(_sections(annotation))
        or any(map(_takes_truth_values, get_args(annotation)))
    )


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python prints
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}…"


def _found(detail: Mapping[str, Any]) -> str:
    """What was found, and what is allowed."""
    message = detail["msg"]
    if detail["type"] in ("model_type", "dict_type"):
        message = "Expected settings below it" + (", or no such line" if detail["input"] is None else "")
    if detail["type"] in ("model_type", "dict_type") and isinstance(detail["input"], str):
        message += ", written as in --config 'train={epochs: 3}'"
    return f"found {_short(detail['input'])}; {message[0].lower()}{message[1:]}"
