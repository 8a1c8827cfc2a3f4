"""The space is read off the module tree: the counts the method publishes, and what is refused."""

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import nn

from aptp.presets import PRESETS
from aptp.space.discover import discover
from aptp.space.groups import Kind
from runtime.errors import SpaceError
from tests.geometries import GEOMETRIES, make_unet


def on_meta(**config: object) -> UNet2DConditionModel:
    with torch.device("meta"):
        return UNet2DConditionModel(**config)


def test_sd21_comes_out_as_published() -> None:
    space = discover(on_meta(**PRESETS["sd21"].unet))
    assert (len(space.widths), space.width_gates, len(space.depths)) == (70, 1606, 14)
    assert sum(group.kind is Kind.RESNET for group in space.widths) == 22
    assert sum(group.gates for group in space.widths if group.kind.endswith("attention")) == 390
    assert space.left_dense == ()
    assert [gate.module for gate in space.depths][:3] == [
        "down_blocks.0.resnets.1",
        "down_blocks.0.attentions.1",
        "down_blocks.1.resnets.1",
    ]


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_has_a_space(preset: str) -> None:
    space = discover(on_meta(**PRESETS[preset].unet))
    assert space.widths
    assert space.depths


def test_sdxl_has_a_group_for_every_transformer_layer() -> None:
    space = discover(on_meta(**PRESETS["sdxl"].unet))
    layers = {group.module.rpartition(".")[0] for group in space.widths if group.kind is Kind.FEED_FORWARD}
    # 2 blocks of 2 layers and 2 of 10 down, 10 in the middle, 3 of 10 and 3 of 2 up
    assert len(layers) == 2 * 2 + 2 * 10 + 10 + 3 * 10 + 3 * 2


def test_groups_do_not_overlap_and_cover_their_modules() -> None:
    unet = make_unet("sd2")
    for group in discover(unet).widths:
        module = unet.get_submodule(group.module)
        width = {
            Kind.RESNET: lambda m: m.conv2.in_channels,
            Kind.SELF_ATTENTION: lambda m: m.to_out[0].in_features,
            Kind.CROSS_ATTENTION: lambda m: m.to_out[0].in_features,
            Kind.FEED_FORWARD: lambda m: m.net[2].in_features,
        }[group.kind](module)
        assert group.gates * group.chunk == width


def test_a_last_resnet_without_an_identity_path_is_not_a_depth_gate() -> None:
    # With one layer per block the down resnets change the channel count.
    names = {gate.module for gate in discover(make_unet("no_mid")).depths}
    assert "down_blocks.1.resnets.0" not in names
    assert "down_blocks.1.attentions.0" in names
    assert "up_blocks.1.resnets.1" in names


def test_up_block_identity_passes_only_the_residual_stream() -> None:
    unet = make_unet("sd2")
    for gate in discover(unet, depth="all").depths:
        module = unet.get_submodule(gate.module)
        if gate.module.startswith("up_blocks") and "resnets" in gate.module:
            assert gate.channels == module.out_channels < module.in_channels


def test_depth_can_be_all_or_named() -> None:
    unet = make_unet("sd2")
    everything = discover(unet, depth="all")
    assert {gate.module for gate in discover(unet).depths} < {gate.module for gate in everything.depths}
    assert "mid_block.resnets.0" in {gate.module for gate in everything.depths}
    assert [g.module for g in discover(unet, depth=["mid_block.resnets.0"]).depths] == ["mid_block.resnets.0"]


def test_feed_forward_gates_fall_back_to_a_divisor() -> None:
    space = discover(make_unet("sd2"), feed_forward_gates=10)
    assert {group.gates for group in space.widths if group.kind is Kind.FEED_FORWARD} == {8}


def test_unknown_blocks_stay_dense_and_are_listed() -> None:
    config = {**GEOMETRIES["sd2"], "down_block_types": ("AttnDownBlock2D", "DownBlock2D")}
    space = discover(on_meta(**config))
    assert ("down_blocks.0", "AttnDownBlock2D is not a block this tool knows") in space.left_dense
    assert not any(group.module.startswith("down_blocks.0") for group in space.widths)


@pytest.mark.parametrize(
    ("depth", "message"),
    [
        (["down_blocks.1.resnets.0"], "down_blocks.1.resnets.0 cannot be skipped"),
        (["mid_block.resnet.0"], "did you mean 'mid_block.resnets.0'"),
        (["mid_block.resnets.0"] * 2, "named twice"),
    ],
)
def test_depth_gates_that_cannot_be(depth: list[str], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        discover(make_unet("sd2"), depth=depth)


def test_too_few_feed_forward_gates() -> None:
    with pytest.raises(SpaceError, match="feed_forward_gates is 0"):
        discover(make_unet("sd2"), feed_forward_gates=0)


def test_fused_projections_are_refused_by_path() -> None:
    unet = make_unet("sd2")
    unet.fuse_qkv_projections()
    with pytest.raises(SpaceError, match=r"down_blocks.0.attentions.0.*attn1 has fused projections"):
        discover(unet)


def test_wrapped_layers_are_refused_by_path() -> None:
    class Adapter(nn.Linear):
        pass

    unet = make_unet("sd2")
    unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_k = Adapter(12, 32)
    with pytest.raises(SpaceError, match=r"attn2.to_k is a Adapter, not a plain Linear"):
        discover(unet)


def test_processors_with_weights_are_refused_by_path() -> None:
    class Learned(nn.Module):
        pass

    unet = make_unet("sd2")
    unet.mid_block.attentions[0].transformer_blocks[0].attn2.processor = Learned()
    with pytest.raises(SpaceError, match=r"attn2 has the processor Learned"):
        discover(unet)
