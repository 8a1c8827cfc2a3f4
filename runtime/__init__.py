"""Bundle to images. `Runtime` is loaded on first use: importing this package costs next to nothing."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .generated import Generated
    from .pipeline import Runtime

__all__ = ["Generated", "Runtime"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import generated, pipeline

    return getattr(pipeline if name == "Runtime" else generated, name)
