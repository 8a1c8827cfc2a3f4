"""Graphs compute what their modules compute, and hold nothing else."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnxruntime.quantization import quantize_dynamic
from torch import nn

from export.graphs import expert, graph, weights
from export.parity import ladder
from runtime.engines import openvino
from runtime.errors import OutputError, ParityError

CHANNELS, LENGTH, WIDTH = 4, 7, 12


class Small(nn.Module):
    """As quick to trace as a module with an expert's inputs can be."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(CHANNELS, 16, 3, padding=1)
        self.text = nn.Linear(WIDTH, 16)
        self.last = nn.Conv2d(16, CHANNELS, 3, padding=1)

    def forward(self, sample, timestep, encoder_hidden_states):
        text = self.text(encoder_hidden_states).mean(1) + timestep[:, None] / 1000
        return self.last(torch.tanh(self.first(sample) + text[:, :, None, None]))


@pytest.fixture(scope="module")
def signature():
    return expert.expert_signature(CHANNELS, 2, LENGTH, WIDTH)


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(0)
    small = Small().eval()
    weights.round_to_half(small)
    return small


@pytest.fixture(scope="module")
def folder(module, signature, tmp_path_factory):
    made = tmp_path_factory.mktemp("graph")
    graph.write_graph(module, signature, made)
    return made


def test_both_variants_compute_what_the_module_computes(module, signature, folder):
    feeds = ladder.cases(signature, {})
    error = ladder.graph_equals_module(folder, signature, feeds, ladder.outputs(module, feeds), threads=1)
    assert 0 < error < 1e-6
    assert not (folder / weights.SERVE_WEIGHTS).exists()


def test_cases_vary_every_free_axis(signature):
    one, two = (feed["sample"].shape for feed in ladder.cases(signature, {}))
    assert all(a != b for axis, (a, b) in enumerate(zip(one, two, strict=True)) if axis != 1)


def test_the_data_file_is_float16_on_whole_pages_and_serves_at_twice_the_offset(module, folder):
    halves = {t.name.removesuffix(".half"): t for t in external(folder / weights.GRAPH)}
    floats = {t.name: t for t in external(folder / weights.SERVE)}
    assert halves.keys() == floats.keys() == {"first.weight", "last.weight"}
    data = (folder / weights.WEIGHTS).read_bytes()
    for name, half in halves.items():
        offset, length = where(half, weights.WEIGHTS)
        assert offset % weights.PAGE == 0
        assert where(floats[name], weights.SERVE_WEIGHTS) == (2 * offset, 2 * length)
        stored = np.frombuffer(data[offset : offset + length], "<f2").reshape(tuple(half.dims))
        assert np.array_equal(stored, module.get_parameter(name).detach().numpy())


class Products(nn.Module):
    """Products of three axes: two weights of their own, one of two products, one that is added too."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, 24), nn.Linear(24, WIDTH)
        self.shared = nn.Parameter(torch.randn(WIDTH, WIDTH))
        self.added = nn.Parameter(torch.randn(WIDTH, WIDTH))

    def forward(self, rows):
        rows = self.second(torch.tanh(self.first(rows)))
        rows = (rows @ self.shared) @ self.shared
        return rows @ self.added + self.added


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    """The module, what it is given, and the folder of its graphs."""
    torch.manual_seed(1)
    module = Products().eval()
    weights.round_to_half(module)
    rows = torch.randn(2, WIDTH, WIDTH)
    folder = tmp_path_factory.mktemp("products")
    graph.write_graph(module, graph.Signature({"rows": rows}, "found", {"rows": {0: "batch"}}), folder)
    weights.widen(folder / weights.WEIGHTS, folder / weights.SERVE_WEIGHTS)
    return module, rows, folder


def test_weights_of_products_are_stored_as_torch_has_them(products):
    module, rows, folder = products
    serving = onnx.load(folder / weights.SERVE, load_external_data=False)
    assert sorted(tuple(t.dims) for t in external(folder / weights.SERVE)) == [(WIDTH, 24), (24, WIDTH)]
    assert [node.op_type for node in serving.graph.node].count("Transpose") == 3  # the shared one once
    with torch.no_grad():
        wanted = module(rows).numpy()
    for name in (weights.GRAPH, weights.SERVE):
        session = onnxruntime.InferenceSession(folder / name, providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {"rows": rows.numpy()})
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(openvino.missing() is not None, reason=f"no OpenVINO here: {openvino.missing()}")
def test_openvino_lays_out_weights_from_where_they_are_mapped(products):
    _, _, folder = products
    compiled = openvino.compiled(folder / weights.SERVE, {"batch": 2}, openvino.settings("float32"))
    read = [
        kind_of(node.input_value(1).get_node())
        for node in compiled.get_runtime_model().get_ordered_ops()
        if kind_of(node) == "FullyConnected"
    ]
    assert sorted(read) == ["Const"] * 4 + ["Transpose"]  # what is added as well is stored as it is added


def kind_of(node):
    return node.get_rt_info()["layerType"].astype(str)


def external(path):
    model = onnx.load(path, load_external_data=False)
    return [t for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]


def where(tensor, location):
    fields = {entry.key: entry.value for entry in tensor.external_data}
    assert fields["location"] == location
    return int(fields["offset"]), int(fields["length"])


def test_axes_can_be_pinned_by_name(folder):
    options = onnxruntime.SessionOptions()
    for name, size in {"batch": 2, "height": 8, "width": 4}.items():
        options.add_free_dimension_override_by_name(name, size)
    session = onnxruntime.InferenceSession(
        folder / weights.GRAPH, options, providers=["CPUExecutionProvider"]
    )
    assert session.get_inputs()[0].shape == [2, CHANNELS, 8, 4]


def test_nothing_of_the_exporter_survives(folder):
    for name in (weights.GRAPH, weights.SERVE):
        model = onnx.load(folder / name, load_external_data=False)
        assert not model.producer_name
        assert not model.producer_version
        assert not model.doc_string
        assert not model.metadata_props
        assert not model.functions
        assert [entry.domain for entry in model.opset_import] == [""]
        assert model.opset_import[0].version == graph.OPSET
        # Only initializers say their shape: what the tracer inferred would contradict a pinned axis.
        assert {v.name for v in model.graph.value_info} <= {t.name for t in model.graph.initializer}
        for node in model.graph.node:
            assert not node.doc_string
            assert not node.metadata_props
        assert b"pkg.torch" not in (folder / name).read_bytes()


def test_the_same_module_gives_the_same_bytes(module, signature, folder, tmp_path):
    for name in graph.write_graph(module, signature, tmp_path):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_an_inline_graph_is_one_float32_file(module, signature, tmp_path):
    assert graph.write_graph(module, signature, tmp_path, inline=True) == [weights.GRAPH]
    assert external(tmp_path / weights.GRAPH) == []


def test_the_quantizer_of_onnx_runtime_takes_it(signature, tmp_path):
    class Product(nn.Module):
        """A product of one row, so that it is exported as Gemm, whose weight that quantizer transposes."""

        def __init__(self):
            super().__init__()
            self.product = nn.Linear(WIDTH, 2 * WIDTH)

        def forward(self, rows):
            return self.product(rows)

    rows = graph.Signature({"rows": torch.randn(3, WIDTH)}, "found", {"rows": {0: "batch"}}, {0: "batch"})
    graph.write_graph(Product(), rows, tmp_path, inline=True)
    assert "Gemm" in {node.op_type for node in onnx.load(tmp_path / weights.GRAPH).graph.node}
    quantize_dynamic(tmp_path / weights.GRAPH, tmp_path / "int8.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "int8.onnx", providers=["CPUExecutionProvider"])
    assert session.run(None, {"rows": np.ones((3, WIDTH), np.float32)})[0].shape == (3, 2 * WIDTH)


def test_a_graph_of_other_weights_fails_its_rung(module, signature, folder):
    feeds = ladder.cases(signature, {})
    wanted = [1.01 * output for output in ladder.outputs(module, feeds)]
    with pytest.raises(ParityError, match="ONNX = PyTorch"):
        ladder.graph_equals_module(folder, signature, feeds, wanted, threads=1)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (np.zeros(100), "constant"),
        (np.full(100, 3.0), "constant"),
        (np.array([1.0, np.nan, np.inf]), "2 of 3 outputs are not finite"),
    ],
)
def test_broken_outputs_are_seen(output, said):
    with pytest.raises(OutputError, match=said):
        ladder.check_output(output, "engine")


def test_images_may_differ_by_one_step_and_in_a_thousandth():
    image = np.random.default_rng(0).integers(1, 255, (100, 100, 3)).astype(np.uint8)
    assert ladder.same_image(image + np.uint8(1), image) == 0.0
    other = image.copy()
    other[0, :9, 0] ^= 128
    assert 0 < ladder.same_image(other, image) <= 1e-3
    other[0] ^= 128
    with pytest.raises(ParityError, match="image = diffusers"):
        ladder.same_image(other, image)


def test_an_error_that_is_not_a_number_is_no_parity():
    with pytest.raises(ParityError):
        ladder.within("rung", float("nan"), 1.0)
