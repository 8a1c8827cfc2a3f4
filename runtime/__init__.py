"""Bundle to images. What is named here is loaded on first use; importing the package costs nothing."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.api.async_runtime import Runtime
    from runtime.api.pipeline import Pipeline
    from runtime.service.generated import Generated

__all__ = ["Generated", "Pipeline", "Runtime"]

_MODULES = {
    "Generated": "runtime.service.generated",
    "Pipeline": "runtime.api.pipeline",
    "Runtime": "runtime.api.async_runtime",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
