"""The body of `POST /v1/images/generations`: JSON to one checked value, without asking the runtime.

Fields are OpenAI's and ours. null is as good as a field that is not there; what is unknown is refused.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar, cast

from runtime.bundle.schema import DENSE, GUIDANCE
from runtime.cli.size import Size, read_size
from runtime.errors import UsageError, nearest
from runtime.files.strict_json import decode
from runtime.images.encoding import FORMATS
from runtime.request.options import RequestOptions
from runtime.request.params import SEED, Code, GenerationParams
from runtime.serve.problem import FieldError
from runtime.text.tokenizer import check_prompt

MODEL = "aptp"  # the model that routes; `aptp:3` and `aptp:dense` are its experts
IMAGES = 8  # of one request
PREVIEWS = 1000
DAY = 86_400.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ImagesRequest:
    """The request of a body: `n` images of a prompt, and how they come back.

    `options` has no deadline where the body names none.
    """

    prompt: str
    params: GenerationParams = GenerationParams()
    options: RequestOptions = RequestOptions()
    n: int = 1
    output_format: str = "png"
    stream: bool = False

    def within(self, deadline: float | None) -> RequestOptions:
        """Return the options; `deadline` is for requests that name none."""
        return self.options if self.options.deadline else replace(self.options, deadline=deadline)


class Body:
    """A JSON object whose fields are taken one by one. `names` are those that were asked about."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values
        self.names: list[str] = []

    def take(self, name: str, read: Callable[[object], T], default: T) -> T:
        """Read a field, or return `default` where there is none. Raises `FieldError`."""
        self.names.append(name)
        value = self._values.get(name)
        if value is None:
            return default
        try:
            return read(value)
        except UsageError as error:
            raise FieldError(name, str(error)) from error

    def close(self) -> None:
        """Refuse fields that nobody asked about. Raises `FieldError`."""
        for name in self._values:
            if name not in self.names:
                raise FieldError(name[:64], f"is no field of a request{nearest(name, self.names)}")


def parse(data: bytes) -> ImagesRequest:
    """Parse the request in a body. Raises `UsageError`: a `FieldError` where it is one field's fault."""
    return read(Body(decode(data, "the body", UsageError, integer=SEED)))


def read(body: Body) -> ImagesRequest:
    """Read the request in a JSON object. Raises `FieldError`."""
    prompt = body.take("prompt", _prompt, None)
    params = GenerationParams(
        negative_prompt=body.take("negative_prompt", _prompt, ""),
        seed=body.take("seed", _integer(0, SEED - 1), 0),
        steps=body.take("steps", _integer(1, 10_000), None),
        guidance=body.take("guidance", _number(0, GUIDANCE), None),
        size=body.take("size", _size, None),
        solver=body.take("solver", _text, None),
        code=_one_code(body.take("model", _model, None), body.take("code", _code, None)),
    )
    options = RequestOptions(
        priority=body.take("priority", _integer(-1, 1), 0),
        deadline=body.take("deadline", _number(0.001, DAY), None),
        previews=body.take("partial_images", _integer(0, PREVIEWS), 0),
    )
    n = body.take("n", _integer(1, IMAGES), 1)
    form = body.take("output_format", _choice(*FORMATS), "png")
    stream = body.take("stream", _flag, False)
    for name, check in IGNORED.items():
        body.take(name, check, "")
    body.close()
    if prompt is None:
        raise FieldError("prompt", "is missing; say what to draw (an empty string is a prompt)")
    request = ImagesRequest(prompt, params, options, n, form, stream)
    _check_together(request)
    return request


def _one_code(model: Code | None, code: Code | None) -> Code | None:
    """Let `model` say what `code` may say as well, but nothing else."""
    if None not in (model, code) and model != code:
        raise FieldError("model", f"names another expert than code {code!r}; leave one of them out")
    return code if model is None else model


def _check_together(asked: ImagesRequest) -> None:
    previews = asked.options.previews
    if asked.stream and asked.n > 1:
        raise FieldError("n", f"{asked.n}: a stream is of one image; ask for the others beside it")
    if previews and not asked.stream:
        raise FieldError("partial_images", "are for streams; add stream, or leave them out")
    if asked.params.seed + asked.n > SEED:
        raise FieldError("seed", f"{asked.params.seed}: every image's seed must be below 2^64")


def _prompt(value: object) -> str:
    return check_prompt(cast(str, value))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise UsageError("give a string")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise UsageError("give true or false")
    return value


def _integer(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise UsageError(f"{_shown(value)}: give an integer from {low} to {high}")
        return value

    return read


def _number(low: float, high: float) -> Callable[[object], float]:
    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise UsageError(f"{_shown(value)}: give a number from {low:g} to {high:g}")
        return float(value)

    return read


def _choice(*choices: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in choices or not isinstance(value, str):
            raise UsageError(f"{_shown(value)}: give {' or '.join(map(repr, choices))}")
        return value

    return read


def _response_format(value: object) -> str:
    if value == "url":
        raise UsageError("'url': images are kept nowhere, so there is no address to give; ask for 'b64_json'")
    return _choice("b64_json")(value)


def _model(value: object) -> Code | None:
    """Read the expert that a model's name names; None is the model that routes."""
    if not re.fullmatch(rf"{MODEL}(:({DENSE}|0|[1-9][0-9]{{0,3}}))?", _text(value)):
        raise UsageError(f"{_shown(value)}: give {MODEL!r}, which routes, or an expert such as '{MODEL}:0'")
    named = _text(value).partition(":")[2]
    return None if not named else "dense" if named == DENSE else int(named)


def _code(value: object) -> Code:
    if value == DENSE:
        return "dense"
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UsageError(f"{_shown(value)}: give a code's number, or {DENSE!r}")
    return value


def _size(value: object) -> Size | None:
    if value == "auto":
        return None
    try:
        return read_size(_text(value))
    except ValueError as error:
        raise UsageError(f"{_shown(value)}: {error}, or 'auto'") from error


def _shown(value: object) -> str:
    return ascii(value)[:64]


# Accepted only where they ask for nothing.
IGNORED: Mapping[str, Callable[[object], str]] = {
    "response_format": _response_format,
    "user": _text,
    "quality": _choice("auto", "standard"),
    "style": _choice("auto", "standard"),
    "background": _choice("auto", "opaque"),
    "moderation": _choice("auto"),
}
