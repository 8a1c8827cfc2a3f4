"""Plans are opened or refused, recorded once per shape, and share one scratch memory. All of it without a
GPU.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runtime.bundle.schema import Compiled
from runtime.engines import cuda, tensorrt
from runtime.engines.tensorrt import TensorRtEngine, open_plan
from runtime.errors import EngineFailure, EnvironmentMismatch
from tests.runtime.gpu_stand_in import Machine, Plan

ENTRY = Compiled("tensorrt", "tensorrt.plan", "float16", {}, {"device": "cuda"}, "")
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Forget after a test what is kept for the whole process."""
    yield
    for kept in (cuda.gpu, tensorrt.tensorrt, tensorrt._log):
        kept.cache_clear()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A GPU, and a module `tensorrt` whose plans are looked up by the bytes of their file."""
    machine = Machine()
    package = ModuleType("cuda")
    monkeypatch.setattr(package, "core", machine, raising=False)
    monkeypatch.setitem(sys.modules, "cuda", package)
    monkeypatch.setitem(sys.modules, "tensorrt", _module(machine))
    return machine


def _module(machine: Machine) -> Any:
    class Log:
        ERROR, INTERNAL_ERROR, INFO = range(3)

    def runtime(log: Any) -> Any:
        def deserialize(data: bytes) -> Plan | None:
            if data == b"a plan":
                return Plan(machine)
            log.log(Log.INFO, "Loading")
            log.log(Log.ERROR, "The engine plan file is not compatible")
            log.log(Log.INFO, "Done")
            return None

        return SimpleNamespace(deserialize_cuda_engine=deserialize)

    module: Any = ModuleType("tensorrt")
    module.ILogger = module.Logger = Log
    module.Runtime = runtime
    module.ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED="user managed")
    return module


def engine(plan: Plan) -> TensorRtEngine:
    return TensorRtEngine(plan, None, cuda.gpu(), Path("tensorrt.plan"), tensorrt._log())


def inputs(rows: int = 2, side: int = 8) -> tuple[Any, Any, dict[str, Any]]:
    sample = RNG.normal(size=(rows, 4, side, side)).astype(np.float32)
    embedding = RNG.normal(size=(rows, 16)).astype(np.float32)
    return sample, embedding, {"encoder_hidden_states": RNG.normal(size=(rows, 7, 12)).astype(np.float32)}


def expected(sample: Any, embedding: Any, conditioning: dict[str, Any]) -> Any:
    mean = conditioning["encoder_hidden_states"].mean((1, 2))
    return sample * (1 + embedding.mean(1)[:, None, None, None]) + mean[:, None, None, None]


def test_a_plan_computes_on_what_it_is_given_every_time(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "tensorrt.plan").write_bytes(b"a plan")
    opened = open_plan(tmp_path / "tensorrt.plan", ENTRY)
    for rows, side in ((2, 8), (2, 8), (1, 8), (2, 4), (2, 8)):
        given = inputs(rows, side)
        assert np.allclose(opened.run(*given), expected(*given), atol=1e-6)


def test_an_output_is_the_callers_own(machine: Machine) -> None:
    one, given = engine(Plan(machine)), inputs()
    first = one.run(*given)
    before = first.copy()
    one.run(*inputs())
    assert np.array_equal(first, before)


def test_a_shape_is_recorded_once_through_a_context_of_its_own(machine: Machine) -> None:
    plan = Plan(machine)
    one = engine(plan)
    for rows in (2, 1, 2, 1, 2):
        one.run(*inputs(rows))
    assert [graph.launches for graph in machine.graphs] == [3, 2]
    assert [context.shapes["sample"][0] for context in plan.contexts] == [2, 1]


def test_conditioning_crosses_once_for_as_long_as_it_is_the_same(machine: Machine) -> None:
    one = engine(Plan(machine))
    sample, embedding, conditioning = inputs()
    size = conditioning["encoder_hidden_states"].nbytes
    for _ in range(3):
        one.run(sample, embedding, conditioning)
    assert sum(source.size == size for source, _ in machine.copies) == 1
    other = inputs()[2]
    assert np.allclose(one.run(sample, embedding, other), expected(sample, embedding, other), atol=1e-6)


def test_experts_share_one_scratch_and_what_was_recorded_over_a_smaller_is_recorded_again(
    machine: Machine,
) -> None:
    small, large = engine(Plan(machine, 1024)), engine(Plan(machine, 4096))
    for one in (small, large, small, large, small):
        given = inputs()
        assert np.allclose(one.run(*given), expected(*given), atol=1e-6)
    scratch = [buffer for buffer in machine.memory.values() if buffer.size in (1024, 4096)]
    assert [(buffer.size, buffer.closed) for buffer in scratch] == [(1024, True), (4096, False)]
    assert [graph.launches for graph in machine.graphs] == [1, 2, 2]


def test_shapes_beyond_a_number_are_given_up_least_recently_used_first(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt, "_RECORDED", 2)
    one = engine(Plan(machine))
    for rows in (1, 2, 1, 3, 1, 2):
        one.run(*inputs(rows))
    assert [graph.launches for graph in machine.graphs] == [3, 1, 1, 1]


def test_a_file_that_is_no_plan_for_here(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "tensorrt.plan").write_bytes(b"another's")
    with pytest.raises(EngineFailure, match="not compatible.*build it on this machine with"):
        open_plan(tmp_path / "tensorrt.plan", ENTRY)


@pytest.mark.parametrize(
    ("rows", "missing", "said"),
    [
        (17, False, r"does not take 'sample' of shape \(17, 4, 8, 8\)"),
        (2, True, "needs inputs .*: encoder_hidden"),
    ],
)
def test_inputs_that_a_plan_does_not_take(machine: Machine, rows: int, missing: bool, said: str) -> None:
    sample, embedding, conditioning = inputs(rows)
    with pytest.raises(EngineFailure, match=said):
        engine(Plan(machine)).run(sample, embedding, {} if missing else conditioning)


def test_a_call_that_is_not_taken(machine: Machine) -> None:
    plan = Plan(machine)
    plan.tired = True
    with pytest.raises(EngineFailure, match="tensorrt.plan: does not take the call"):
        engine(plan).run(*inputs())


def test_a_failure_of_the_gpu_names_the_plan(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("CUDA_ERROR_ILLEGAL_ADDRESS")

    monkeypatch.setattr(machine.stream, "sync", fail)
    with pytest.raises(
        EngineFailure, match="tensorrt.plan: failed while running: CUDA_ERROR_ILLEGAL_ADDRESS"
    ):
        engine(Plan(machine)).run(*inputs())


@pytest.mark.parametrize(
    ("installed", "why"),
    [
        ((), "tensorrt is not installed (it comes with `aptp[tensorrt]`)"),
        (("tensorrt",), "cuda.core is not installed (it comes with `aptp[tensorrt]`)"),
        (("tensorrt", "cuda.core"), None),
    ],
)
def test_what_no_plan_can_be_opened_without(
    monkeypatch: pytest.MonkeyPatch, installed: tuple[str, ...], why: str | None
) -> None:
    def find(name: str) -> Any:
        if name in installed:
            return name
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(tensorrt, "find_spec", find)
    assert tensorrt.missing() == why


def test_tensorrt_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(EnvironmentMismatch, match=r"tensorrt is not installed; install `aptp\[tensorrt\]`"):
        open_plan(tmp_path / "tensorrt.plan", ENTRY)


def test_cuda_core_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda", None)
    with pytest.raises(EnvironmentMismatch, match="cuda-core is not installed"):
        cuda.gpu()


def test_a_gpu_that_does_not_open(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("CUDA_ERROR_NO_DEVICE")

    monkeypatch.setattr(machine, "set_current", fail)
    with pytest.raises(
        EnvironmentMismatch, match="does not open: CUDA_ERROR_NO_DEVICE; look at `nvidia-smi`"
    ):
        cuda.gpu()
