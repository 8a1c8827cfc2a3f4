"""The list of what a bundle offers, for clients: OpenAI's list of models, and everything a form needs to
know.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from runtime.bundle.schema import DENSE, GUIDANCE, Manifest
from runtime.request.params import GenerationParams
from runtime.serve.backend_state import Upstream
from runtime.serve.limits import ClientPolicy
from runtime.serve.problem import no_model
from runtime.serve.reply import json_reply, share
from runtime.serve.request_body import IMAGES
from runtime.text import tokenizer

NAME = "aptp"
PRESET = ("solver", "steps", "guidance", "height", "width")  # by the bundle, for who asks for nothing


class Catalogue:
    """A server's models, and what it says of itself. Of the bundle that serves new requests."""

    def __init__(self, upstream: Upstream, version: str, policy: ClientPolicy) -> None:
        self._upstream, self._version = upstream, version
        self._limits, self._names = policy.limits, policy.models

    async def models(self, _: Request) -> Response:
        """Return the model that routes, and one for each expert, under each of their names."""
        return json_reply({"object": "list", "data": self._models()})

    async def model(self, request: Request) -> Response:
        """Reply with one of them. Raises `Problem` where there is none of that name."""
        name = request.path_params["model"]
        for model in self._models():
            if model["id"] == name:
                return json_reply(model)
        raise no_model(name)

    async def about(self, _: Request) -> Response:
        """Reply with everything that a client can ask for here, and what it gets if it does not ask."""
        return json_reply(self._about())

    def _about(self) -> dict[str, Any]:
        runtime = self._upstream.runtime
        bundle = runtime.bundle
        manifest = bundle.manifest
        return {
            "name": NAME,
            "version": self._version,
            "engine": runtime.engine,
            "bundle": bundle.digest[:12],
            "trained": manifest.source.trained,
            "codes": [
                {"name": name, "share": share(name, manifest)} for name in _experts(manifest) if name != DENSE
            ],
            "dense": DENSE in manifest.experts,
            "defaults": _defaults(manifest),
            "solvers": {name: _steps(entry.rows) for name, entry in sorted(manifest.schedules.items())},
            "sizes": _sizes(manifest),
            "limits": {
                "prompt": tokenizer.CHARACTERS,
                "guidance": GUIDANCE,
                "n": IMAGES,
                "body": self._limits.body_bytes,
            },
        }

    def _models(self) -> list[dict[str, Any]]:
        experts = _experts(self._upstream.runtime.bundle.manifest)
        entry = {"object": "model", "created": self._upstream.since, "owned_by": NAME}
        ids = [id for name in self._names for id in (name, *(f"{name}:{expert}" for expert in experts))]
        return [{"id": id, **entry} for id in ids]


def _experts(manifest: Manifest) -> list[str]:
    codes = sorted((name for name in manifest.experts if name != DENSE), key=int)
    return [*codes, DENSE] if DENSE in manifest.experts else codes


def _steps(rows: tuple[int, ...]) -> list[int]:
    return [steps for steps, count in enumerate(rows, start=1) if count]


def _defaults(manifest: Manifest) -> dict[str, Any]:
    told = GenerationParams().resolve(manifest).recorded()
    return {name: told[name] for name in PRESET}


def _sizes(manifest: Manifest) -> dict[str, int]:
    latent, scale = manifest.latent, manifest.decoder.scale
    return {
        "minimum": latent.minimum * scale,
        "maximum": latent.maximum * scale,
        "multiple": latent.multiple * scale,
    }
