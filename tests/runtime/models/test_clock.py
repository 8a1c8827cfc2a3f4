"""Time embeddings: a steps's table is its expert's clock at every timestep, computed once and kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from runtime.bundle.reader import Bundle
from runtime.diffusion.schedule import Row, SolverSteps
from runtime.engines.session import Session, open_session
from runtime.errors import EngineFailure
from runtime.models import clock as module
from runtime.models.cache import Cache
from runtime.models.clock import Clock
from runtime.models.sessions import Sessions
from tests.bundles import CHANNELS, relist

TIMESTEPS = (998.5, 431.25, 0.5)


def steps(*timesteps: float) -> SolverSteps:
    return SolverSteps(tuple(Row(time, 1.0, (), (), (0.0, 0.0)) for time in timesteps), 1.0, 1)


def clock_of(bundle: Bundle, cache: Path) -> Clock:
    return Clock(bundle.manifest.experts, Sessions(bundle, Cache(cache), threads=1))


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The expert of every run of a clock's graph."""
    found: list[str] = []
    real = Session.run

    def run(self: Session, output: str, inputs: Any) -> Any:
        found.append(self.path.parents[1].name)
        return real(self, output, inputs)

    monkeypatch.setattr(Session, "run", run)
    return found


@pytest.fixture
def clock(bundle: Bundle, cache_path: Path, runs: list[str]) -> Clock:
    return clock_of(bundle, cache_path)


def test_a_table_is_what_the_graph_gives_one_row_at_a_time(clock: Clock, bundle: Bundle) -> None:
    table = clock("1", steps(*TIMESTEPS))
    assert (table.shape, table.dtype) == ((3, CHANNELS), np.float32)
    alone = open_session(bundle.file(bundle.manifest.experts["1"].clock.graph), "cpu")
    for row, timestep in zip(table, TIMESTEPS, strict=True):
        (wanted,) = alone.run("time_embedding", {"timestep": np.array([timestep], np.float32)})
        np.testing.assert_allclose(row, wanted, rtol=1e-6)


def test_a_table_is_computed_once_per_expert_and_steps(clock: Clock, runs: list[str]) -> None:
    first = clock("0", steps(*TIMESTEPS))
    assert clock("0", steps(*TIMESTEPS)) is first
    clock("0", steps(*TIMESTEPS[:2]))
    clock("1", steps(*TIMESTEPS))
    assert runs == ["0", "0", "1"]


def test_experts_have_clocks_of_their_own(clock: Clock, runs: list[str]) -> None:
    one, other = (clock(name, steps(*TIMESTEPS)) for name in ("0", "1"))
    assert not np.array_equal(one, other)
    assert runs == ["0", "1"]


def test_old_tables_are_forgotten_and_computed_again(
    clock: Clock, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT", 2)
    for timestep in (1.0, 2.0, 1.0, 3.0, 1.0, 2.0):  # when 3 comes, 2 was asked for longest ago
        clock("0", steps(timestep))
    assert len(runs) == 4


def write_clock(bundle: Path, nodes: list[Any], inputs: dict[str, list[Any]]) -> Bundle:
    """The bundle with another clock of expert 0, whose output is `time_embedding`."""
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    made = [helper.make_tensor_value_info("time_embedding", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "clock", given, made)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (bundle / "experts/0/unet/clock.onnx").write_bytes(model.SerializeToString())
    relist(bundle, "experts/0/unet/clock.onnx")
    return Bundle.open(bundle)


AXES = helper.make_node("Constant", [], ["axes"], value_ints=[1])
COLUMN = helper.make_node("Unsqueeze", ["timestep", "axes"], ["column"])


@pytest.mark.parametrize(
    ("nodes", "shape"),
    [
        pytest.param([helper.make_node("Identity", ["timestep"], ["time_embedding"])], "(3,)", id="no rows"),
        pytest.param(
            [
                AXES,
                COLUMN,
                helper.make_node("ReduceSum", ["column"], ["time_embedding"]),
            ],
            "(1, 1)",
            id="one row for all",
        ),
        pytest.param(
            [AXES, COLUMN, helper.make_node("Log", ["column"], ["time_embedding"])], "(3, 1)", id="not finite"
        ),
    ],
)
def test_a_clock_that_gives_no_rows_of_numbers(
    copy_path: Path, cache_path: Path, nodes: list[Any], shape: str
) -> None:
    bundle = write_clock(copy_path, nodes, {"timestep": ["batch"]})
    with pytest.raises(EngineFailure) as caught:
        clock_of(bundle, cache_path)("0", steps(-1.0, 2.0, 3.0))
    assert f"the clock of expert '0': gave {shape} values, not 3 rows of finite ones" in str(caught.value)


def test_a_clock_of_another_width_than_the_others(copy_path: Path, cache_path: Path) -> None:
    nodes = [AXES, COLUMN, helper.make_node("Identity", ["column"], ["time_embedding"])]
    clock = clock_of(write_clock(copy_path, nodes, {"timestep": ["batch"]}), cache_path)
    clock("1", steps(1.0))
    with pytest.raises(EngineFailure, match="the clock of expert '0': gave 1 values a row, and others 4"):
        clock("0", steps(1.0))


def test_a_clock_with_other_inputs_is_refused(copy_path: Path, cache_path: Path) -> None:
    nodes = [AXES, COLUMN, helper.make_node("Add", ["column", "text_embeds"], ["time_embedding"])]
    bundle = write_clock(copy_path, nodes, {"timestep": ["batch"], "text_embeds": ["batch", 4]})
    with pytest.raises(EngineFailure, match=r"clock.onnx: takes \['text_embeds', 'timestep'\].*build the"):
        clock_of(bundle, cache_path)("0", steps(1.0))
