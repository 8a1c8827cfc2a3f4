"""The routes, and what is around them."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount, Route

from runtime.serve import openapi
from runtime.serve.access_log import ID, LastResort, Observation
from runtime.serve.admission import Admission
from runtime.serve.authentication import Authentication
from runtime.serve.backend_state import Upstream
from runtime.serve.framing import Framing
from runtime.serve.hosts import HostCheck
from runtime.serve.limits import ClientPolicy
from runtime.serve.metrics import Metrics
from runtime.serve.model_list import Catalogue
from runtime.serve.operations import Operations
from runtime.serve.page import Page
from runtime.serve.problem import HANDLERS


def build(upstream: Upstream, version: str, policy: ClientPolicy, page: Page) -> Starlette:
    """Build the routes in front of an upstream."""
    metrics = Metrics(upstream)
    admission = Admission(upstream, metrics, policy)
    catalogue = Catalogue(upstream, version, policy)
    operations = Operations(upstream, metrics)
    routes = [
        Route("/", page.index),
        Mount("/page", page),
        Route("/v1/images/generations", admission.create, methods=["POST"]),
        Route("/v1/models", catalogue.models),
        Route("/v1/models/{model}", catalogue.model),
        Route("/v1/about", catalogue.about),
        Route("/v1/status", operations.status),
        Route("/healthz", operations.health),
        Route("/readyz", operations.readiness),
        Route("/metrics", operations.metrics),
        Route("/openapi.json", openapi.endpoint(version, policy.models)),
    ]
    app = Starlette(routes=routes, middleware=_around(metrics, policy), exception_handlers=HANDLERS)
    app.router.redirect_slashes = False  # a redirect would be made of the client's own Host
    return app


def _around(metrics: Metrics, policy: ClientPolicy) -> list[Middleware]:
    """Return the middleware, the outermost first: what a token's lack or another site's page is told is
    observed as well.
    """
    around = [Middleware(Observation, metrics=metrics), Middleware(Framing)]
    if policy.hosts is not None:
        around.append(Middleware(HostCheck, names=policy.hosts))
    if policy.origins:
        sites = Middleware(
            CORSMiddleware,
            allow_origins=policy.origins,
            allow_methods=["GET", "POST"],
            # Whatever an allowed origin asks for: client libraries send headers of their own.
            allow_headers=["*"],
            allow_private_network=True,
            expose_headers=[ID, "x-aptp-code", "retry-after"],
        )
        around.append(sites)
    around.append(Middleware(LastResort))
    if policy.token is not None:
        around.append(Middleware(Authentication, token=policy.token))
    return around
