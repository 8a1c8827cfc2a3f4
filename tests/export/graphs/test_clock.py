"""The clock of a UNet: what is left without it and what it gives are, joined again, the same function."""

import copy
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from export.graphs import clock, expert, weights
from runtime.errors import Refused, SpaceError

pytestmark = pytest.mark.timeout(300)

WIDTH, POOLED = 16, 16
CONFIG = {
    "sample_size": 8,
    "block_out_channels": (16, 32),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "mid_block_type": None,
    "cross_attention_dim": WIDTH,
    "attention_head_dim": 8,
    "norm_num_groups": 8,
    "layers_per_block": 1,
}
SDXL = {
    **CONFIG,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": POOLED + 6 * 8,
}
ADDED = {"text_embeds": POOLED, "time_ids": 6}


def make(config=CONFIG):
    torch.manual_seed(0)
    return UNet2DConditionModel(**config).eval()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The graphs of a UNet with added conditions, and the UNet as it was."""
    unet = make(SDXL)
    weights.round_to_half(unet)
    whole = copy.deepcopy(unet)
    folder = tmp_path_factory.mktemp("expert")
    expert.write_expert(unet, expert.expert_signature(4, 2, 5, WIDTH, ADDED), folder)
    weights.widen(folder / weights.WEIGHTS, folder / weights.SERVE_WEIGHTS)
    return SimpleNamespace(module=expert.ExpertGraph(whole).eval(), folder=folder)


def case(rows):
    """Inputs of as many rows, each at its own timestep, and of a size that nobody traced."""
    random = torch.Generator().manual_seed(rows)
    shapes = {"sample": (4, 6, 10), "encoder_hidden_states": (5, WIDTH), "text_embeds": (POOLED,)}
    drawn = {name: torch.randn(rows, *shape, generator=random) for name, shape in shapes.items()}
    timestep = torch.linspace(981.0, 3.25, rows)
    sizes = torch.randint(0, 1024, (rows, 6), generator=random).float()
    return {**drawn, "timestep": timestep, "time_ids": sizes}


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def run(path, feed):
    opened = session(path)
    return opened.run(None, {one.name: feed[one.name].numpy() for one in opened.get_inputs()})[0]


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_both_ways_through_the_graphs_are_the_unet(written, rows):
    feed = case(rows)
    with torch.inference_mode():
        wanted = written.module(**feed).numpy()
    portable = run(written.folder / weights.GRAPH, feed)
    embedding = run(written.folder / expert.CLOCK, feed)
    assert embedding.shape == (rows, 64)
    serving = run(written.folder / weights.SERVE, {**feed, "time_embedding": torch.from_numpy(embedding)})
    for found in (portable, serving):
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_inputs_and_outputs_have_the_names_that_readers_know(written):
    def names(file):
        opened = session(written.folder / file)
        return [one.name for one in opened.get_inputs()], [one.name for one in opened.get_outputs()]

    added = list(ADDED)
    assert names(weights.GRAPH) == (["sample", "timestep", "encoder_hidden_states", *added], ["out_sample"])
    assert names(weights.SERVE) == (["sample", "time_embedding", "encoder_hidden_states"], ["out_sample"])
    assert names(expert.CLOCK) == (["timestep", *added], ["time_embedding"])


def test_no_sine_is_left_in_what_is_served(written):
    operators = {
        name: {node.op_type for node in onnx.load(written.folder / name, load_external_data=False).graph.node}
        for name in (weights.SERVE, expert.CLOCK, weights.GRAPH)
    }
    assert not operators[weights.SERVE] & {"Sin", "Cos"}
    assert operators[expert.CLOCK] >= {"Sin", "Cos"}
    assert operators[weights.GRAPH] >= {"Sin", "Cos"}


def test_the_clock_is_one_float32_file(written):
    model = onnx.load(written.folder / expert.CLOCK, load_external_data=False)
    assert not [one.name for one in model.graph.initializer if one.data_location == one.EXTERNAL]
    types = {one.data_type for one in model.graph.initializer}
    assert onnx.TensorProto.FLOAT in types
    assert onnx.TensorProto.FLOAT16 not in types


def test_the_portable_graph_computes_with_the_weights_of_the_other_two(written):
    model = onnx.load(written.folder / weights.GRAPH, load_external_data=False)
    names = {one.name.removesuffix(".half") for one in model.graph.initializer}
    for file in (weights.SERVE, expert.CLOCK):
        part = onnx.load(written.folder / file, load_external_data=False)
        assert {one.name for one in part.graph.initializer if not one.name.startswith("constant")} <= names
    assert len(names) == len(model.graph.initializer)


def test_a_unet_that_is_not_supported_keeps_its_clock():
    with pytest.raises(SpaceError, match="UNet2DConditionModel: num_class_embeds is 10"):
        clock.take_out(make({**CONFIG, "num_class_embeds": 10}))


def test_a_module_that_reads_time_in_another_way_is_named():
    class Other(ResnetBlock2D):
        """A block that may read the time embedding as it likes."""

    unet = make()
    path = "up_blocks.1.resnets.1"
    unet.get_submodule(path).__class__ = Other
    with pytest.raises(Refused, match=rf"^{path}: is a Other, and how it reads the time embedding"):
        clock.take_out(unet)


@pytest.mark.parametrize("path", ["time_proj", "time_embedding"])
def test_a_unet_without_a_part_of_the_clock_is_refused_by_it(path):
    unet = make()
    setattr(unet, path, nn.Identity())
    with pytest.raises(Refused, match=f"{path}: is no Time.*, so the UNet's clock cannot be found"):
        clock.take_out(unet)


def test_a_refused_unet_computes_what_it_computed():
    unet, sound = make(), make()
    unet.get_submodule("up_blocks.1.resnets.1").__class__ = type("Other", (ResnetBlock2D,), {})
    with pytest.raises(Refused):
        clock.take_out(unet)
    feed = {name: one for name, one in case(2).items() if name not in ADDED}
    with torch.inference_mode():
        outputs = [expert.ExpertGraph(one)(**feed) for one in (unet, sound)]
    assert torch.equal(*outputs)


@pytest.mark.parametrize("scale_shift", ["default", "scale_shift"])
def test_what_is_left_with_its_clock_s_output_is_the_unet_to_the_bit(scale_shift):
    unet = make({**CONFIG, "resnet_time_scale_shift": scale_shift})
    feed = {name: one for name, one in case(3).items() if name not in ADDED}
    with torch.inference_mode():
        wanted = expert.ExpertGraph(unet)(**feed)
        taken = clock.take_out(unet)
        found = expert.ServingGraph(unet)(**taken.fed(feed))
    assert torch.equal(found, wanted)
