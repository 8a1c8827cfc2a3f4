"""Bundle to images. What is named here is loaded on first use; importing the package costs nothing."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.api.async_runtime import Runtime
    from runtime.api.pipeline import Pipeline
    from runtime.request.options import RequestOptions
    from runtime.request.params import GenerationParams
    from runtime.service.generated import Generated

__all__ = ["Generated", "GenerationParams", "Pipeline", "RequestOptions", "Runtime"]

_MODULES = {
    "Generated": "runtime.service.generated",
    "GenerationParams": "runtime.request.params",
    "Pipeline": "runtime.api.pipeline",
    "RequestOptions": "runtime.request.options",
    "Runtime": "runtime.api.async_runtime",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
