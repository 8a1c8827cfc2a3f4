"""Bundle to images. What is named here is loaded on first use; importing the package costs nothing."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.api.async_runtime import Runtime, Stream
    from runtime.api.diffusers_api import Generator, Output
    from runtime.api.pipeline import Pipeline
    from runtime.bundle.reader import Bundle
    from runtime.bundle.schema import Manifest
    from runtime.cli.size import Size
    from runtime.errors import (
        AptpError,
        CacheFailure,
        Cancelled,
        Closed,
        CodeUnavailable,
        DeadlineExceeded,
        EngineFailure,
        EnvironmentMismatch,
        FieldError,
        Forked,
        IntegrityError,
        ManifestError,
        NotABundle,
        Quarantined,
        QueueFull,
        Refused,
        Rejected,
        RuntimeFailure,
        Unavailable,
        UsageError,
    )
    from runtime.models.models import Models
    from runtime.models.router import RouterOutput
    from runtime.request.options import RequestOptions
    from runtime.request.params import GenerationParams, ResolvedParams
    from runtime.service.events import Event, Finished, Queued, Started, Step
    from runtime.service.generated import Generated, RoutingDecision
    from runtime.service.status import ExpertStatus, Status

# The public API, and the whole of it: docs/API.md lists the same names.
__all__ = [
    "AptpError",
    "Bundle",
    "CacheFailure",
    "Cancelled",
    "Closed",
    "CodeUnavailable",
    "DeadlineExceeded",
    "EngineFailure",
    "EnvironmentMismatch",
    "Event",
    "ExpertStatus",
    "FieldError",
    "Finished",
    "Forked",
    "Generated",
    "GenerationParams",
    "Generator",
    "IntegrityError",
    "Manifest",
    "ManifestError",
    "Models",
    "NotABundle",
    "Output",
    "Pipeline",
    "Quarantined",
    "QueueFull",
    "Queued",
    "Refused",
    "Rejected",
    "RequestOptions",
    "ResolvedParams",
    "RouterOutput",
    "RoutingDecision",
    "Runtime",
    "RuntimeFailure",
    "Size",
    "Started",
    "Status",
    "Step",
    "Stream",
    "Unavailable",
    "UsageError",
]

# Where the names are defined; those that are not here are errors.
_MODULES = {
    "Bundle": "runtime.bundle.reader",
    "Event": "runtime.service.events",
    "ExpertStatus": "runtime.service.status",
    "Finished": "runtime.service.events",
    "Generated": "runtime.service.generated",
    "GenerationParams": "runtime.request.params",
    "Generator": "runtime.api.diffusers_api",
    "Manifest": "runtime.bundle.schema",
    "Models": "runtime.models.models",
    "Output": "runtime.api.diffusers_api",
    "Pipeline": "runtime.api.pipeline",
    "Queued": "runtime.service.events",
    "RequestOptions": "runtime.request.options",
    "ResolvedParams": "runtime.request.params",
    "RouterOutput": "runtime.models.router",
    "RoutingDecision": "runtime.service.generated",
    "Runtime": "runtime.api.async_runtime",
    "Size": "runtime.cli.size",
    "Started": "runtime.service.events",
    "Status": "runtime.service.status",
    "Step": "runtime.service.events",
    "Stream": "runtime.api.async_runtime",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES.get(name, "runtime.errors")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
