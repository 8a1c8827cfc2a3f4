"""Every graph that this package exports is one that TensorRT's parser documents."""

from export.lint.graph import require
from tests.checkpoints import build_mini


def test_every_graph_of_a_bundle_passes(tmp_path_factory):
    graphs = sorted(build_mini(tmp_path_factory).rglob("*.onnx"))
    assert len(graphs) >= 11  # heads and clocks of two experts, heads of encoder and decoder, the router
    for path in graphs:
        require(path)
