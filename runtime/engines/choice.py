"""The choice of the engine that serves a bundle here: the one that was asked for, or the best that this
machine has.

An engine runs the bundle's graphs, on OpenVINO or on an execution provider of ONNX Runtime, or it is a kind
of compiled file, which the bundle has to hold for every expert: one file each, or one supernet for all.
"""

import logging

from runtime.bundle.compiled import KINDS
from runtime.bundle.schema import Compiled, Expert, Manifest
from runtime.engines import openvino, providers, target, tensorrt
from runtime.errors import EnvironmentMismatch, UsageError, nearest

PROVIDER_OF = {"cpu": "cpu", "cuda": "cuda", "tensorrt-ep": "tensorrt"}  # engines that are ONNX Runtime
ON_GRAPHS = ("cpu", "openvino", "cuda", "tensorrt-ep")
ENGINES = ("auto", *ON_GRAPHS, *KINDS)
# Best first. What is not here serves where it is asked for: it wins on some machines and loses on others.
BEST = ("tensorrt", "cuda", "openvino", "cpu")

log = logging.getLogger("runtime")


def choose(name: str, manifest: Manifest) -> str:
    """`name`, or for `auto` the first of `BEST` that can serve every expert of the bundle here.

    Raises `UsageError` for an unknown name, `EnvironmentMismatch` where it cannot be had. The log says where
    `auto` has to do without OpenVINO, and why.
    """
    if name not in ENGINES:
        raise UsageError(f"engine {name!r} is not one of {', '.join(ENGINES)}{nearest(name, ENGINES)}")
    if name != "auto":
        reason = missing(name, manifest)
        if reason is not None:
            raise EnvironmentMismatch(f"engine {name!r} cannot be used: {reason}; use 'cpu' or 'auto'")
        return name
    better = [engine for engine in BEST if engine != "openvino" or openvino.wins()]
    chosen = next(engine for engine in better if missing(engine, manifest) is None)
    if chosen == "cpu" and openvino.wins():
        log.warning("engine auto is 'cpu': 'openvino' cannot be used: %s", missing("openvino", manifest))
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
    """Return the expert's compiled engine of `kind` that was made for this machine, if there is one."""
    entries = (entry for entry in expert.compiled if entry.kind == kind)
    return next((entry for entry in entries if target.mismatch(entry) is None), None)


def provider_beside(engine: str) -> str:
    """Return the execution provider of ONNX Runtime for the graphs besides the experts, such as the decoder.

    Beside OpenVINO that is `cpu`: in float32, in which decoders run, OpenVINO took 0.98 of its time on SD
    2.1's at 512 px (Zen 3), and more on a small one.
    """
    if engine in PROVIDER_OF:
        return PROVIDER_OF[engine]
    return "cuda" if engine != "openvino" and providers.missing("cuda") is None else "cpu"


def _remedy(kind: str) -> str:
    return f"build it on this machine with `python -m export.build --codes all --engines {kind}`"
