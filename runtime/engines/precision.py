"""The precision that an expert's graph is computed in: float32, or less where that has been shown to be good
enough.

Less is earned expert by expert, engine by engine and on a class of processor (docs/BUNDLE.md, "Earned
precision"): another computes the same graph by other instructions, and errs otherwise. Eight bits may be
asked for by name before anybody has judged them; nothing else takes them.
"""

import logging

from runtime.bundle.compiled import KINDS
from runtime.bundle.earned import INT8
from runtime.bundle.schema import Earned, Expert, Manifest
from runtime.engines import openvino
from runtime.errors import EnvironmentMismatch, UsageError, nearest
from runtime.machine import processor

FLOAT32, BFLOAT16 = "float32", "bfloat16"
PRECISIONS = (FLOAT32, BFLOAT16, INT8)  # that can be asked for by name
log = logging.getLogger("runtime")

REMEDY = "python -m export.build --codes all --engines openvino"


def check(asked: str | None, engine: str, manifest: Manifest) -> None:
    """Refuse a precision by name that an expert of the bundle cannot be served in here.

    Without a name the log says which experts compute in more than they would have to; with `int8`, which of
    them nobody has judged.
    Raises `UsageError`, `EnvironmentMismatch`.
    """
    if asked is None:
        if names := unearned(engine, manifest):
            log.warning(
                "engine %r computes experts %s in float32, for nobody has shown that bfloat16 will do on "
                "this class of processor; build the bundle again here to try: %s",
                *(engine, ", ".join(names), REMEDY),
            )
        return
    where = f"precision {asked!r}"
    if asked not in PRECISIONS:
        raise UsageError(f"{where} is not one of {', '.join(PRECISIONS)}{nearest(asked, PRECISIONS)}")
    if engine in KINDS:
        raise EnvironmentMismatch(f"{where}: engine {engine!r} was compiled in its own; leave precision out")
    if asked == FLOAT32:
        return
    if engine != "openvino":
        raise EnvironmentMismatch(
            f"{where}: engine {engine!r} computes in float32; use engine 'openvino', or leave precision out"
        )
    if asked == INT8:
        _check_int8(engine, manifest)
        return
    if not openvino.computes_in(asked):
        raise EnvironmentMismatch(
            f"{where}: this processor ({processor.vectors()}) does not compute in it; "
            "use float32, or leave precision out"
        )
    for name in _without(engine, asked, manifest):
        raise EnvironmentMismatch(
            f"{where}: expert {name!r} has not earned it on engine {engine!r} and this class of "
            f"processor ({processor.vectors()}); earn it by building the bundle again here, {REMEDY}, or "
            "use float32"
        )


def _check_int8(engine: str, manifest: Manifest) -> None:
    for name, expert in manifest.experts.items():
        if expert.int8 is None:
            raise EnvironmentMismatch(
                f"precision {INT8!r}: the bundle holds no such form of expert {name!r}; build it, {REMEDY} "
                f"--precision {INT8}, or leave precision out"
            )
    if names := _without(engine, INT8, manifest):
        log.warning(
            "engine %r computes experts %s in int8, whose images nobody has judged on this class of "
            "processor (%s); python -m export.judge records such a judgement",
            *(engine, ", ".join(names), processor.vectors()),
        )


def of(expert: Expert, engine: str, asked: str | None) -> str:
    """Return the precision of the expert's graph on an engine: what was `asked`, or the least it has
    earned.
    """
    if asked is not None:
        return asked
    if engine != "openvino" or not openvino.computes_in(BFLOAT16):
        return FLOAT32  # where there is no bfloat16, nobody has measured that eight bits are faster
    return next((name for name in (INT8, BFLOAT16) if _earned(engine, name) in expert.earned), FLOAT32)


def unearned(engine: str, manifest: Manifest) -> list[str]:
    """Return the experts that compute in float32 here though this processor could do with less."""
    if engine != "openvino" or not openvino.computes_in(BFLOAT16):
        return []
    return [name for name, expert in manifest.experts.items() if of(expert, engine, None) == FLOAT32]


def _without(engine: str, precision: str, manifest: Manifest) -> list[str]:
    """Return the experts that have not earned a precision here."""
    wanted = _earned(engine, precision)
    return [name for name, expert in manifest.experts.items() if wanted not in expert.earned]


def _earned(engine: str, precision: str) -> Earned:
    return Earned(engine, precision, processor.vectors())
