from pathlib import Path

import onnx
import pytest

from bench import shapes
from runtime import Pipeline
from runtime.bench.workload import Workload
from runtime.engines.session import open_session
from runtime.models.cache import Cache
from runtime.request.params import GenerationParams
from runtime.timing import turns
from tests.bundles import write_bundle


@pytest.fixture
def opened(tmp_path: Path) -> tuple[Path, Workload]:
    bundle = write_bundle(tmp_path / "bundle", experts=("0",))
    with Pipeline.open(bundle, engine="cpu", cache=tmp_path / "cache", threads=1) as runtime:
        workload = Workload(runtime, GenerationParams().resolve(runtime.bundle.manifest))
        model = runtime.bundle.manifest.experts["0"].model
        return Cache(tmp_path / "cache").serving_graph(runtime.bundle, model), workload


def test_written_shapes_are_numbers_and_the_function_stays(
    opened: tuple[Path, Workload], tmp_path: Path
) -> None:
    graph, workload = opened
    inputs, folder = workload.served("0", 2), tmp_path / "written"
    folder.mkdir()
    written = shapes.write_shapes(graph, {"batch": 2, "height": 8, "width": 8}, folder)
    sample = onnx.load(written, load_external_data=False).graph.input[0]
    assert [dimension.dim_value for dimension in sample.type.tensor_type.shape.dim] == [2, 4, 8, 8]
    outputs = [open_session(path, "cpu", threads=1).run("out_sample", inputs) for path in (graph, written)]
    assert (outputs[0] == outputs[1]).all()


def test_all_ways_take_turns(opened: tuple[Path, Workload], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "WINDOW_SHORTEST", 0.0)
    graph, workload = opened
    series = shapes.measure(graph, workload.served("0", 1), "cpu", rounds=2)
    assert list(series) == ["written", "pinned", "batch open", "all open"]
    rows = shapes.table({name: found.samples for name, found in series.items()})
    assert rows[0]["to written"] == "1.000"
    assert len({len(found.samples) for found in series.values()}) == 1
