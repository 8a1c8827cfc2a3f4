"""Images as replies: OpenAI's object, and what made each image beside it.

Encoding takes milliseconds an image: whoever makes one of `images`, `completed` or `partial` is off the loop.
"""

import base64
import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from starlette.responses import Response

from runtime.bundle.schema import DENSE, Manifest
from runtime.cli.size import Size
from runtime.images.encoding import describe, encode, encode_pixels
from runtime.service.generated import Generated, RoutingDecision

# OpenAI's events have to tell these. Nothing is counted in tokens here, and images have no transparent parts.
_USAGE = {
    "input_tokens": 0,
    "output_tokens": 0,
    "total_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
}
_SETTLED = {"background": "opaque", "quality": "auto"}


def share(name: str, manifest: Manifest) -> float | None:
    """Return the MACs of an expert as a share of dense's, or None where only an earlier version had it."""
    return round(manifest.share(name), 4) if name in manifest.experts else None


def code_of(choice: RoutingDecision) -> str:
    """Return the code's name as the wire has it."""
    return DENSE if choice.code is None else str(choice.code)


def size_of(size: tuple[int, int] | None, manifest: Manifest) -> str:
    """Write (width, height), or the bundle's default, as WIDTHxHEIGHT."""
    latent, scale = manifest.latent, manifest.decoder.scale
    return str(Size(*size) if size else Size(latent.width * scale, latent.height * scale))


def started(choice: RoutingDecision, manifest: Manifest) -> dict[str, Any]:
    """Say who makes the image, as an event tells it."""
    return {
        "expert": choice.expert,
        "code": code_of(choice),
        "margin": choice.margin,
        "share": share(choice.expert, manifest),
        "fell_back": choice.fell_back,
        "out_of_distribution": choice.out_of_distribution,
    }


def images(generated: Sequence[Generated], form: str, manifest: Manifest) -> bytes:
    """Return the body of a reply that has all images at once."""
    return as_json(
        {
            "created": int(time.time()),
            "data": [
                {"b64_json": _encoded(image, form), "aptp": _about(image, manifest)} for image in generated
            ],
            "size": _size(generated[0]),
            "output_format": form,
            **_SETTLED,
        }
    )


def completed(generated: Generated, form: str, manifest: Manifest) -> dict[str, Any]:
    """Return the last event of a stream."""
    return {
        "b64_json": _encoded(generated, form),
        "created_at": int(time.time()),
        "size": _size(generated),
        "output_format": form,
        **_SETTLED,
        "usage": _USAGE,
        "aptp": _about(generated, manifest),
    }


def partial(preview: npt.NDArray[np.uint8], index: int, size: str) -> dict[str, Any]:
    """Return a preview, uint8 [h, w, 3], as an event; `size` is that of the image to come."""
    return {
        "b64_json": base64.b64encode(encode_pixels(Image.fromarray(preview))).decode(),
        "partial_image_index": index,
        "created_at": int(time.time()),
        "size": size,
        "output_format": "png",
        **_SETTLED,
    }


def json_reply(value: Any, status: int = 200) -> Response:
    """Return a small reply of the moment, which nobody may keep."""
    return Response(as_json(value), status, {"cache-control": "no-store"}, media_type="application/json")


def as_json(value: Any) -> bytes:
    """JSON in ASCII, without white space."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _encoded(generated: Generated, form: str) -> str:
    return base64.b64encode(encode(generated, form)).decode()


def _about(generated: Generated, manifest: Manifest) -> dict[str, Any]:
    made = describe(generated)
    made["code"] = code_of(generated.choice)
    made["share"] = share(generated.choice.expert, manifest)
    made["milliseconds"] = round(generated.milliseconds, 3)
    return made


def _size(generated: Generated) -> str:
    return str(generated.params.size)
