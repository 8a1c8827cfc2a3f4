"""Which engine serves a bundle here: the one that was asked for, or the best that this machine has.

An engine runs the bundle's graphs, on OpenVINO or on an execution provider of ONNX Runtime, or it is a kind
of compiled file, which the bundle has to hold for every expert: one file each, or one supernet for all.
"""

import logging

from ..bundle.compiled import KINDS
from ..bundle.schema import Compiled, Expert, Manifest
from ..errors import EnvironmentMismatch, UsageError, nearest
from . import openvino, precision, providers, target, tensorrt

PROVIDER_OF = {"cpu": "cpu", "cuda": "cuda", "tensorrt-ep": "tensorrt"}  # engines that are ONNX Runtime
ON_GRAPHS = ("openvino", *PROVIDER_OF)
ENGINES = ("auto", *ON_GRAPHS, *KINDS)
# Best first. What is not here serves where it is asked for: it wins on some machines and loses on others.
BEST = ("tensorrt", "cuda", "openvino", "cpu")

log = logging.getLogger("runtime")


def choose(name: str, manifest: Manifest) -> str:
    """`name`, or for `auto` the first of `BEST` that can serve every expert of the bundle here.

    Raises `UsageError` for an unknown name, `EnvironmentMismatch` where it cannot be had. The log says where
    `auto` has to do without OpenVINO, and where OpenVINO computes in more than it would have to.
    """
    if name not in ENGINES:
        raise UsageError(f"engine {name!r} is not one of {', '.join(ENGINES)}{nearest(name, ENGINES)}")
    if name != "auto":
        reason = missing(name, manifest)
        if reason is not None:
            raise EnvironmentMismatch(f"engine {name!r} cannot be used: {reason}; use 'cpu' or 'auto'")
        return name
    chosen = next(engine for engine in BEST if missing(engine, manifest) is None)
    if chosen == "cpu":
        log.warning("engine auto is 'cpu': 'openvino' cannot be used: %s", missing("openvino", manifest))
    if unearned := precision.unearned(chosen, manifest):
        log.warning(
            "engine %r computes experts %s in float32, for nobody has shown that bfloat16 will do on this "
            "class of processor; build the bundle again here to try: %s",
            *(chosen, ", ".join(unearned), precision.REMEDY),
        )
    return chosen


def missing(engine: str, manifest: Manifest) -> str | None:
    """Why `engine` cannot serve the bundle here, or None if it can."""
    if engine == "openvino":
        return openvino.missing()
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


def beside(engine: str) -> str:
    """What runs the decoder beside experts on `engine`: an engine of `ON_GRAPHS`."""
    if engine in ON_GRAPHS:
        return engine
    return "cuda" if providers.missing("cuda") is None else "cpu"


def _remedy(kind: str) -> str:
    return f"build it on this machine with `python -m export.build --codes all --engine {kind}`"
