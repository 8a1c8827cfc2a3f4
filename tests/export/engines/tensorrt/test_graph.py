"""The graph that a plan is built from: typed right, finite where SD 2.1 overflows, as near as autocast."""

import shutil

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from aptp.checkpoint.reader import Checkpoint
from export.engines.tensorrt.float16 import halve
from export.engines.tensorrt.graph import prove, typed
from export.graphs import clock, graph, weights
from export.graphs.expert import ExpertGraph, expert_signature, signatures
from export.lint.graph import findings
from export.parity import ladder
from runtime.errors import OutputError, ParityError


def test_weights_are_read_as_they_are_stored(expert, tmp_path):
    path = typed(expert, tmp_path, "float16").path
    model = onnx.load(path, load_external_data=False)
    assert findings(model) == []
    stored = {one.name for one in model.graph.initializer if one.data_location == one.EXTERNAL}
    assert stored
    assert not stored & {name for node in model.graph.node if node.op_type == "Cast" for name in node.input}
    assert (tmp_path / weights.WEIGHTS).samefile(expert / weights.WEIGHTS)


def test_a_float32_plan_is_built_from_the_serving_graph(expert, tmp_path):
    found = typed(expert, tmp_path, "float32")
    assert found.path.read_bytes() == (expert / weights.SERVE).read_bytes()
    assert found.weights == 2 * (expert / weights.WEIGHTS).stat().st_size


@pytest.fixture(scope="module")
def case(mini, expert):
    """Signature, inputs and float32 outputs of the expert without its clock, and the error of PyTorch's
    float16 autocast.
    """
    checkpoint = Checkpoint.open(mini)
    unet = checkpoint.expert("0")
    weights.round_to_half(unet)
    length, width = checkpoint.tokenizer["length"], checkpoint.unet_config["cross_attention_dim"]
    signature = expert_signature(4, checkpoint.latent_multiple, length, width)
    feeds, module = ladder.cases(signature, {}), ExpertGraph(unet).eval()
    outputs = ladder.outputs(module, feeds)
    autocast = ladder.autocast_error(module, feeds, outputs, "float16")
    taken = clock.take_out(unet)
    return signatures(signature, taken)[1], [taken.fed(feed) for feed in feeds], outputs, autocast


def test_the_float16_graph_is_within_the_ladder(case, expert, tmp_path):
    signature, feeds, outputs, autocast = case
    path = typed(expert, tmp_path, "float16").path
    assert 0 < prove(path, signature, feeds, outputs, autocast, 1) < 1.5 * autocast


def test_another_expert_s_graph_is_not(case, expert, tmp_path):
    signature, feeds, outputs, autocast = case
    path = typed(expert.parents[1] / "1/unet", tmp_path, "float16").path
    with pytest.raises(ParityError, match="float16 graph, rounded on a CPU"):
        prove(path, signature, feeds, outputs, autocast, 1)


def hot(model: ir.Model, factor: float) -> ir.Model:
    """`model` with `factor` times larger queries and keys, as SD 2.1's are."""
    weights_of = set()
    for softmax in (node for node in model.graph if node.op_type == "Softmax"):
        for value in softmax.inputs[0].producer().inputs:
            while value.producer().op_type != "MatMul":
                value = value.producer().inputs[0]
            weight = value.producer().inputs[1]
            while weight.producer() is not None:  # turned, and before that widened
                weight = weight.producer().inputs[0]
            weights_of.add(weight)
    for weight in weights_of:
        grown = (weight.const_value.numpy() * factor).astype(np.float16)
        weight.const_value = ir.tensor(grown, name=weight.name)
    return model


@pytest.mark.parametrize("islands", [True, False])
def test_logits_beyond_float16_are_finite_in_their_islands_and_seen_without(case, expert, tmp_path, islands):
    signature, feeds, outputs, _ = case
    # A copy: the graphs of other tests are linked to the expert's weights, and onnx-ir reads no linked file.
    own = shutil.copytree(expert, tmp_path / "unet")
    path = own / "typed.onnx"
    serving = ir.load(own / weights.SERVE)
    weights.refer_to_halves(serving, weights.extents_of(serving))
    graph.save(serving, path)
    model = halve(hot(ir.load(path), 300.0), islands=islands)
    path.write_bytes(ir.to_proto(model).SerializeToString())
    if islands:
        prove(path, signature, feeds, outputs, autocast=100.0, threads=1)
    else:
        with pytest.raises(OutputError, match="outputs are not finite"):
            prove(path, signature, feeds, outputs, autocast=100.0, threads=1)
