"""Bundle to images. What is named here is loaded on first use; importing the package costs nothing."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.api.async_runtime import Runtime
    from runtime.api.pipeline import Pipeline
    from runtime.errors import (
        AptpError,
        CacheFailure,
        Cancelled,
        Closed,
        CodeUnavailable,
        DeadlineExceeded,
        EngineFailure,
        EnvironmentMismatch,
        IntegrityError,
        ManifestError,
        NotABundle,
        QueueFull,
        Refused,
        Rejected,
        RuntimeFailure,
        UsageError,
    )
    from runtime.request.options import RequestOptions
    from runtime.request.params import GenerationParams
    from runtime.service.events import Event, Finished, Queued, Started, Step
    from runtime.service.generated import Generated, RoutingDecision
    from runtime.service.status import ExpertStatus, Status

# The public API, and the whole of it: docs/API.md lists the same names.
__all__ = [
    "AptpError",
    "CacheFailure",
    "Cancelled",
    "Closed",
    "CodeUnavailable",
    "DeadlineExceeded",
    "EngineFailure",
    "EnvironmentMismatch",
    "Event",
    "ExpertStatus",
    "Finished",
    "Generated",
    "GenerationParams",
    "IntegrityError",
    "ManifestError",
    "NotABundle",
    "Pipeline",
    "QueueFull",
    "Queued",
    "Refused",
    "Rejected",
    "RequestOptions",
    "RoutingDecision",
    "Runtime",
    "RuntimeFailure",
    "Started",
    "Status",
    "Step",
    "UsageError",
]

# Where the names are defined; those that are not here are errors.
_MODULES = {
    "Event": "runtime.service.events",
    "ExpertStatus": "runtime.service.status",
    "Finished": "runtime.service.events",
    "Generated": "runtime.service.generated",
    "GenerationParams": "runtime.request.params",
    "Pipeline": "runtime.api.pipeline",
    "Queued": "runtime.service.events",
    "RequestOptions": "runtime.request.options",
    "RoutingDecision": "runtime.service.generated",
    "Runtime": "runtime.api.async_runtime",
    "Started": "runtime.service.events",
    "Status": "runtime.service.status",
    "Step": "runtime.service.events",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES.get(name, "runtime.errors")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
