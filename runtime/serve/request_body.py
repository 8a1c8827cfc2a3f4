"""The body of `POST /v1/images/generations`: JSON to one checked value, without asking the runtime.

Fields are OpenAI's and ours. null is as good as a field that is not there; what is unknown is refused.

Of OpenAI's fields without a meaning here, hints at how an image is made, or for whom, are taken with any
value and change nothing. Those that ask for another kind of reply are refused where they do.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar, cast

from runtime.bundle.schema import DENSE, GUIDANCE
from runtime.cli.size import Size, read_size
from runtime.errors import FieldError, UsageError, nearest
from runtime.files.strict_json import decode
from runtime.images.encoding import FORMATS
from runtime.request.options import RequestOptions
from runtime.request.params import SEED, Code, GenerationParams, random_seed
from runtime.serve.problem import no_model
from runtime.text.tokenizer import check_prompt

MODEL = "aptp"  # the model that routes; `aptp:3` and `aptp:dense` are its experts
RANDOM = -1  # a seed that asks for any
HINTS = (
    "complexity",
    "moderation",
    "output_compression",
    "quality",
    "safety_identifier",
    "style",
    "user",
)
IMAGES = 8  # of one request
PREVIEWS = 1000
DAY = 86_400.0

T = TypeVar("T")

_EXPERT = re.compile(rf"{DENSE}|0|[1-9][0-9]{{0,3}}")


@dataclass(frozen=True, slots=True)
class ImagesRequest:
    """The request of a body: `n` images of a prompt, and how they come back.

    `options` has no deadline where the body names none. `spelt`: the client's own names of parameters.
    """

    prompt: str
    params: GenerationParams = GenerationParams()
    options: RequestOptions = RequestOptions()
    n: int = 1
    output_format: str = "png"
    stream: bool = False
    spelt: Mapping[str, str] = field(default_factory=dict, compare=False)

    def within(self, deadline: float | None) -> RequestOptions:
        """Return the options; `deadline` is for requests that name none."""
        return self.options if self.options.deadline else replace(self.options, deadline=deadline)


class Body:
    """A JSON object whose fields are taken one by one.

    `names` are those that were asked about, `spelt` the names of those that have one, by our own.
    """

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values
        self.names: list[str] = []
        self.spelt: dict[str, str] = {}

    def take(self, name: str, read: Callable[[object], T], default: T, alias: str | None = None) -> T:
        """Read a field, or return `default` where there is none. Raises `FieldError`.

        Under both of its names, it has to have one value.
        """
        names = [name] if alias is None else [name, alias]
        self.names += names
        given = {each: self._read(each, read) for each in names if self._values.get(each) is not None}
        if not given:
            return default
        self.spelt[name], value = next(iter(given.items()))
        if alias in given and given[alias] != value:
            raise _wrong(alias or name, f"is another value than that of {name}; leave one of them out")
        return value

    def _read(self, name: str, read: Callable[[object], T]) -> T:
        try:
            return read(self._values[name])
        except UsageError as error:
            raise _wrong(name, str(error)) from error

    def close(self) -> None:
        """Refuse fields that nobody asked about. Raises `FieldError`."""
        for name in self._values:
            if name not in self.names:
                raise _wrong(name[:64], f"is no field of a request{nearest(name, self.names)}")


class BodyReader:
    """Reads bodies.

    `models`: the names of the model that routes; `seed`: for requests that name none, None for one at random.
    """

    def __init__(self, models: Sequence[str] = (MODEL,), seed: int | None = 0) -> None:
        self._models, self._seed = models, seed

    def parse(self, data: bytes) -> ImagesRequest:
        """Parse the request in a body. Raises `UsageError`, a `FieldError` where it is one field's fault, and
        `Problem` for a model that is not there.
        """
        return self.read(Body(decode(data.removeprefix(BOM_UTF8), "the body", UsageError, integer=SEED)))

    def read(self, body: Body) -> ImagesRequest:
        """Read the request in a JSON object. Raises `FieldError`, and `Problem` as `parse`."""
        prompt = body.take("prompt", _prompt, None)
        seed = body.take("seed", _integer(RANDOM, SEED - 1), RANDOM if self._seed is None else self._seed)
        params = GenerationParams(
            negative_prompt=body.take("negative_prompt", _prompt, ""),
            seed=random_seed() if seed == RANDOM else seed,
            steps=body.take("steps", _integer(1, 10_000), None, alias="num_inference_steps"),
            guidance=body.take("guidance", _number(0, GUIDANCE), None, alias="guidance_scale"),
            size=body.take("size", _size, None),
            solver=body.take("solver", _text, None),
            code=_one_code(body, body.take("model", self._model, None), body.take("code", _code, None)),
        )
        options = RequestOptions(
            priority=body.take("priority", _integer(-1, 1), 0),
            deadline=body.take("deadline", _number(0.001, DAY), None),
            previews=body.take("partial_images", _integer(0, PREVIEWS), 0),
        )
        n = body.take("n", _integer(1, IMAGES), 1)
        form = body.take("output_format", _choice(*FORMATS), "png")
        stream = body.take("stream", _flag, False)
        body.take("response_format", _response_format, "")
        body.take("background", _background, "")
        for name in HINTS:
            body.take(name, lambda value: value, None)
        body.close()
        if prompt is None:
            raise _wrong("prompt", "is missing; say what to draw (an empty string is a prompt)")
        request = ImagesRequest(prompt, params, options, n, form, stream, body.spelt)
        _check_together(request)
        return request

    def _model(self, value: object) -> Code | None:
        """Read the expert that a model's name names; None is the model that routes."""
        name, colon, expert = _text(value).partition(":")
        if name not in self._models or (colon and not _EXPERT.fullmatch(expert)):
            raise no_model(_text(value))
        return None if not colon else "dense" if expert == DENSE else int(expert)


def _one_code(body: Body, model: Code | None, code: Code | None) -> Code | None:
    """Let `model` say what `code` may say as well, but nothing else."""
    if model is not None:
        body.spelt["code"] = "model"
    if None not in (model, code) and model != code:
        raise _wrong("model", f"names another expert than code {code!r}; leave one of them out")
    return code if model is None else model


def _check_together(asked: ImagesRequest) -> None:
    previews = asked.options.previews
    if asked.stream and asked.n > 1:
        raise _wrong("n", f"{asked.n}: a stream is of one image; ask for the others beside it")
    if previews and not asked.stream:
        raise _wrong("partial_images", "are for streams; add stream, or leave them out")
    if asked.params.seed + asked.n > SEED:
        raise _wrong("seed", f"{asked.params.seed}: every image's seed must be below 2^64")


def _wrong(name: str, message: str) -> FieldError:
    return FieldError(name, f"{name}: {message}")


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


def _background(value: object) -> str:
    if value == "transparent":
        raise UsageError("'transparent': images have no transparent parts; ask for 'opaque' or 'auto'")
    return _choice("auto", "opaque")(value)


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
