"""Bundle to images. What is named here is loaded on first use; importing the package costs nothing."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.asynchronous import Runtime
    from runtime.generated import Generated
    from runtime.pipeline import Pipeline

__all__ = ["Generated", "Pipeline", "Runtime"]

_MODULES = {"Generated": ".generated", "Pipeline": ".pipeline", "Runtime": ".asynchronous"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name], __name__), name)
