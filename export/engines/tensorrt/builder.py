"""Call TensorRT's builder, through Polygraphy: a graph and a profile become a plan.

The network is strongly typed, so precision is the graph's (`float16`) and no flag of the builder's. Refuses
to work without TensorRT and Polygraphy. It has never run on a GPU.
"""

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.engines.tensorrt import builder_log
from export.engines.tensorrt.builder_errors import translated
from runtime.errors import Refused

if TYPE_CHECKING:
    from export.graphs.graph import Signature

Shapes = dict[str, tuple[tuple[int, ...], ...]]


def shapes(signature: "Signature", profile: Mapping[str, list[int]]) -> Shapes:
    """Return the least, usual and most shape of every input, from a profile's sizes by axis."""
    return {
        name: tuple(
            tuple(
                profile[axes[axis]][bound] if axis in axes else size
                for axis, size in enumerate(example.shape)
            )
            for bound in range(3)
        )
        for name, example in signature.inputs.items()
        for axes in (signature.axes.get(name, {}),)
    }


def write_plan(
    graph: Path, bounds: Shapes, path: Path, timings: Path, *, precision: str, report: Callable[[float], None]
) -> None:
    """Build `path` from `graph`, reading and adding to `timings`; `report` gets the share that is done.

    In float16 the float32 islands may use TF32, whose mantissa is float16's and whose range is float32's.
    Raises Refused, BuilderError.
    """
    trt, polygraphy = _installed("tensorrt"), _installed("polygraphy.backend.trt")
    failure = _installed("polygraphy.exception").PolygraphyException
    profile = polygraphy.Profile()
    for name, (least, usual, most) in bounds.items():
        profile.add(name, least, usual, most)
    config = polygraphy.CreateConfig(
        profiles=[profile],
        tf32=precision == "float16",
        load_timing_cache=str(timings) if timings.exists() else None,
        progress_monitor=_monitor(trt, report),
    )
    with builder_log.kept() as said:
        try:
            network = polygraphy.network_from_onnx_path(str(graph), strongly_typed=True)
            plan = polygraphy.engine_bytes_from_network(network, config, save_timing_cache=str(timings))
        except failure as error:
            raise translated(said, str(error)) from error
    path.write_bytes(memoryview(plan))


def _installed(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise Refused(f"--engines tensorrt: {package} is not installed; install `aptp[tensorrt]`") from error


def _monitor(trt: Any, report: Callable[[float], None]) -> Any:
    """Return a progress monitor that reports the share done of the outermost phase."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if parent_phase is None:
                self._steps[phase_name] = num_steps

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in self._steps:
                report((step + 1) / self._steps[phase_name])
            return True

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

    return Monitor()
