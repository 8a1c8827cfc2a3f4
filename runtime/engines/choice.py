"""Which engine serves a bundle here: the one that was asked for, or the best that this machine has.

An engine is an execution provider of ONNX Runtime, which runs the portable graphs, or a kind of compiled
file, which the bundle has to hold for every expert: one file each, or one supernet for all.
"""

from ..bundle.compiled import KINDS
from ..bundle.schema import Compiled, Expert, Manifest
from ..errors import EnvironmentMismatch, UsageError, nearest
from . import providers, target, tensorrt

PROVIDER_OF = {"cpu": "cpu", "openvino": "openvino", "cuda": "cuda", "tensorrt-ep": "tensorrt"}
ENGINES = ("auto", *PROVIDER_OF, *KINDS)
# Best first. What is not here serves where it is asked for: it wins on some machines and loses on others.
BEST = ("tensorrt", "cuda", "openvino", "cpu")


def choose(name: str, manifest: Manifest) -> str:
    """`name`, or for `auto` the first of `BEST` that can serve every expert of the bundle here.

    Raises `UsageError` for an unknown name, `EnvironmentMismatch` where it cannot be had.
    """
    if name not in ENGINES:
        raise UsageError(f"engine {name!r} is not one of {', '.join(ENGINES)}{nearest(name, ENGINES)}")
    if name == "auto":
        return next(engine for engine in BEST if missing(engine, manifest) is None)
    reason = missing(name, manifest)
    if reason is not None:
        raise EnvironmentMismatch(f"engine {name!r} cannot be used: {reason}; use 'cpu' or 'auto'")
    return name


def missing(engine: str, manifest: Manifest) -> str | None:
    """Why `engine` cannot serve the bundle here, or None if it can."""
    if engine in PROVIDER_OF:
        return providers.missing(PROVIDER_OF[engine])
    for name, expert in manifest.experts.items():
        entries = [entry for entry in expert.compiled if entry.kind == engine]
        if not entries:
            return f"the bundle holds none for expert {name!r}; {_remedy(engine)}"
        if fitting(expert, engine) is None:
            return f"expert {name!r} {target.mismatch(entries[0])}; {_remedy(engine)}"
    return tensorrt.missing() if engine == "tensorrt" else None


def fitting(expert: Expert, kind: str) -> Compiled | None:
    """The expert's compiled engine of `kind` that was made for this machine, if there is one."""
    entries = (entry for entry in expert.compiled if entry.kind == kind)
    return next((entry for entry in entries if target.mismatch(entry) is None), None)


def provider_beside(engine: str) -> str:
    """The execution provider for the graphs besides the experts, such as the decoder."""
    if engine in PROVIDER_OF:
        return PROVIDER_OF[engine]
    return next(PROVIDER_OF[name] for name in BEST if name in PROVIDER_OF and _is_here(name))


def _is_here(name: str) -> bool:
    return providers.missing(PROVIDER_OF[name]) is None


def _remedy(kind: str) -> str:
    return f"build it on this machine with `python -m export.build --codes all --engine {kind}`"
