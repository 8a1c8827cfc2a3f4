"""The routes, and what is around them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from ..errors import RuntimeFailure
from . import metrics, openapi
from .admission import Admission
from .authentication import Authentication
from .catalogue import Catalogue
from .client import JSON
from .limits import LIMITS, Limits
from .metrics import Metrics
from .observation import ID, Observation
from .page import Page
from .problem import Problem
from .reply import as_json
from .service import Service, State

GONE = 499  # what the log says of a request whose client left before there was a reply


@dataclass(frozen=True, slots=True)
class Policy:
    """What operators decide: who may ask, and how long those may take that do not say."""

    token: str | None = None
    origins: Sequence[str] = ()
    deadline: float | None = None
    limits: Limits = LIMITS


def build(service: Service, version: str, policy: Policy, page: Page) -> Starlette:
    """The application in front of a service."""
    watched = Metrics(service)
    catalogue = Catalogue(service, version, policy.limits)
    admission = Admission(service, watched, policy.limits, policy.deadline)
    described = as_json(openapi.document(version))

    async def scrape() -> Response:
        text = await asyncio.to_thread(watched.text)
        return Response(text, media_type=metrics.CONTENT_TYPE)

    async def model(request: Request) -> Response:
        return _json(catalogue.model(request.path_params["model"]))

    routes = [
        Route("/", page.index),
        Mount("/page", page),
        Route("/v1/images/generations", admission.create, methods=["POST"]),
        Route("/v1/models", _plain(catalogue.models)),
        Route("/v1/models/{model}", model),
        Route("/v1/about", _plain(catalogue.about)),
        Route("/v1/status", _plain(lambda: _status(service))),
        Route("/healthz", _plain(lambda: {"status": "alive"})),
        Route("/readyz", _reply(lambda: _readiness(service))),
        Route("/metrics", _awaited(scrape)),
        Route("/openapi.json", _reply(lambda: Response(described, media_type=JSON))),
    ]
    app = Starlette(routes=routes, middleware=_around(watched, policy), exception_handlers=_HANDLERS)
    app.router.redirect_slashes = False  # a redirect would be made of the client's own Host
    return app


def _around(watched: Metrics, policy: Policy) -> list[Middleware]:
    around = [Middleware(Observation, metrics=watched)]
    if policy.origins:
        around.append(
            Middleware(
                CORSMiddleware,
                allow_origins=policy.origins,
                allow_methods=["GET", "POST"],
                allow_headers=["authorization", "content-type", ID],
                expose_headers=[ID, "x-aptp-code", "retry-after"],
            )
        )
    if policy.token is not None:
        around.append(Middleware(Authentication, token=policy.token))
    return around


Endpoint = Callable[[Request], Awaitable[Response]]


def _plain(value: Callable[[], Mapping[str, Any]]) -> Endpoint:
    return _reply(lambda: _json(value()))


def _reply(make: Callable[[], Response]) -> Endpoint:
    async def endpoint(_: Request) -> Response:
        return make()

    return endpoint


def _awaited(make: Callable[[], Awaitable[Response]]) -> Endpoint:
    async def endpoint(_: Request) -> Response:
        return await make()

    return endpoint


def _json(value: Mapping[str, Any], status: int = 200) -> Response:
    return Response(as_json(value), status, {"cache-control": "no-store"}, media_type=JSON)


def _status(service: Service) -> dict[str, Any]:
    status: Any = service.runtime.status()
    return asdict(status)


def _readiness(service: Service) -> Response:
    if service.state is not State.SERVING:
        return _json({"status": "not ready", "reasons": [service.state.value]}, 503)
    return _json({"status": "ready", "degraded": service.degraded})


async def _failed(_: Request, failure: Exception) -> Response:
    assert isinstance(failure, RuntimeFailure), "the table of handlers says so"
    return Problem.of(failure).response()


async def _wrong(_: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem), "the table of handlers says so"
    return problem.response()


async def _misdirected(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "the table of handlers says so"
    asked = f"{request.method[:16]!a} {request.url.path[:64]!a}"
    if error.status_code == 405:
        problem = Problem(405, f"{asked}: this path has other methods", code="method_not_allowed")
    else:
        problem = Problem(error.status_code, f"{asked}: there is no such path", code="not_found")
    response = problem.response()
    response.headers.update(error.headers or {})
    return response


async def _left(_: Request, __: Exception) -> Response:
    return Response(status_code=GONE)


_HANDLERS: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
    RuntimeFailure: _failed,
    Problem: _wrong,
    HTTPException: _misdirected,
    ClientDisconnect: _left,
}
