"""The body of `POST /v1/images/generations`: JSON to one checked value, without asking the runtime.

Fields are OpenAI's and ours. null is as good as a field that is not there; what is unknown is refused.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from runtime.bundle.schema import DENSE, GUIDANCE
from runtime.errors import UsageError, nearest
from runtime.files.strict_json import decode
from runtime.images.encoding import FORMATS
from runtime.request.settings import SEED
from runtime.serve.problem import FieldError
from runtime.text.tokenizer import check_prompt

MODEL = "aptp"  # the model that routes; `aptp:3` and `aptp:dense` are its experts
IMAGES = 8  # of one request
PREVIEWS = 1000
DAY = 86_400.0

Code = int | Literal["dense"]


class Arguments(TypedDict):
    """What `Runtime.stream` takes besides the prompt."""

    previews: int
    negative_prompt: str
    seed: int
    steps: int | None
    guidance: float | None
    size: tuple[int, int] | None
    solver: str | None
    code: Code | None
    priority: int
    deadline: float | None


@dataclass(frozen=True, slots=True)
class Generation:
    """What is asked for. `size` is (height, width). None: the bundle's default, or the server's deadline."""

    prompt: str
    code: Code | None = None
    n: int = 1
    size: tuple[int, int] | None = None
    output_format: str = "png"
    stream: bool = False
    partial_images: int = 0
    seed: int = 0
    steps: int | None = None
    guidance: float | None = None
    negative_prompt: str = ""
    solver: str | None = None
    priority: int = 0
    deadline: float | None = None

    def arguments(self, index: int, deadline: float | None) -> Arguments:
        """Those of image `index`; `deadline` is for requests that name none."""
        return Arguments(
            previews=self.partial_images,
            negative_prompt=self.negative_prompt,
            seed=self.seed + index,
            steps=self.steps,
            guidance=self.guidance,
            size=self.size,
            solver=self.solver,
            code=self.code,
            priority=self.priority,
            deadline=deadline if self.deadline is None else self.deadline,
        )


def parse(data: bytes) -> Generation:
    """The request in a body. Raises `UsageError`: a `FieldError` where it is one field's fault."""
    values = decode(data, "the body", UsageError, integer=SEED)
    given = {name: _read(name, value) for name, value in values.items()}
    given = {name: value for name, value in given.items() if value is not None}
    if "prompt" not in given:
        raise FieldError("prompt", "is missing; say what to draw (an empty string is a prompt)")
    _take_code(given)
    for name in IGNORED:
        given.pop(name, None)
    asked = Generation(**given)
    _check_together(asked)
    return asked


def _read(name: str, value: Any) -> Any:
    if name not in FIELDS:
        raise FieldError(name[:64], f"is no field of a request{nearest(name, FIELDS)}")
    try:
        return None if value is None else FIELDS[name](value)
    except UsageError as error:
        raise FieldError(name, str(error)) from error


def _take_code(given: dict[str, Any]) -> None:
    """Let `model` say what `code` may say as well, but nothing else."""
    named = given.pop("model", MODEL).partition(":")[2]
    if not named:
        return
    code: Code = "dense" if named == DENSE else int(named)
    if given.setdefault("code", code) != code:
        raise FieldError("model", f"names another expert than code {given['code']!r}; leave one of them out")


def _check_together(asked: Generation) -> None:
    if asked.stream and asked.n > 1:
        raise FieldError("n", f"{asked.n}: a stream is of one image; ask for the others beside it")
    if asked.partial_images and not asked.stream:
        raise FieldError("partial_images", "are for streams; add stream, or leave them out")
    if asked.seed + asked.n > SEED:
        raise FieldError("seed", f"{asked.seed}: every image's seed must be below 2^64")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError("give a string")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise UsageError("give true or false")
    return value


def _integer(low: int, high: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise UsageError(f"{_shown(value)}: give an integer from {low} to {high}")
        return value

    return read


def _number(low: float, high: float) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or not low <= value <= high:
            raise UsageError(f"{_shown(value)}: give a number from {low:g} to {high:g}")
        return float(value)

    return read


def _choice(*choices: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in choices or not isinstance(value, str):
            raise UsageError(f"{_shown(value)}: give {' or '.join(map(repr, choices))}")
        return value

    return read


def _response_format(value: Any) -> str:
    if value == "url":
        raise UsageError("'url': images are kept nowhere, so there is no address to give; ask for 'b64_json'")
    return _choice("b64_json")(value)


def _model(value: Any) -> str:
    if not re.fullmatch(rf"{MODEL}(:({DENSE}|0|[1-9][0-9]{{0,3}}))?", _text(value)):
        raise UsageError(f"{_shown(value)}: give {MODEL!r}, which routes, or an expert such as '{MODEL}:0'")
    return str(value)


def _code(value: Any) -> Code:
    if value == DENSE:
        return "dense"
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UsageError(f"{_shown(value)}: give a code's number, or {DENSE!r}")
    return value


def _size(value: Any) -> tuple[int, int] | None:
    if value == "auto":
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})", _text(value), re.ASCII)
    if not match:
        raise UsageError(f"{_shown(value)}: give WIDTHxHEIGHT in pixels, such as '64x64', or 'auto'")
    return int(match[2]), int(match[1])


def _shown(value: Any) -> str:
    return ascii(value)[:64]


# Accepted only where they ask for nothing.
IGNORED: Mapping[str, Callable[[Any], Any]] = {
    "response_format": _response_format,
    "user": _text,
    "quality": _choice("auto", "standard"),
    "style": _choice("auto", "standard"),
    "background": _choice("auto", "opaque"),
    "moderation": _choice("auto"),
}

FIELDS: Mapping[str, Callable[[Any], Any]] = {
    "prompt": check_prompt,
    "model": _model,
    "n": _integer(1, IMAGES),
    "size": _size,
    "output_format": _choice(*FORMATS),
    "stream": _flag,
    "partial_images": _integer(0, PREVIEWS),
    "seed": _integer(0, SEED - 1),
    "steps": _integer(1, 10_000),
    "guidance": _number(0, GUIDANCE),
    "negative_prompt": check_prompt,
    "solver": _text,
    "code": _code,
    "priority": _integer(-1, 1),
    "deadline": _number(0.001, DAY),
    **IGNORED,
}
