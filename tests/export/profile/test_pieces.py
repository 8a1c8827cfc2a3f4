"""The pieces of a UNet add up to it, and each computes what the UNet computes there."""

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch.utils.flop_counter import FlopCounterMode

from aptp.presets import PRESETS
from aptp.space.cost import mac_cost
from aptp.space.discover import discover
from aptp.space.macs import module_macs
from aptp.space.profile import FIXED
from export.profile.calls import Joined, ResidualCall, record
from export.profile.pieces import cut, inputs
from runtime.errors import Refused
from tests.geometries import GEOMETRIES, make_unet

TOKENS = 5


def on_meta(config):
    with torch.device("meta"):
        return UNet2DConditionModel(**config).eval()


def pieces_of(config, side=8, tokens=TOKENS, rows=2):
    unet = on_meta(config)
    macs = module_macs(unet, side, side, tokens)
    return cut(unet, discover(unet), record(unet, rows, side, side, tokens), macs), sum(macs.values())


@pytest.mark.parametrize("geometry", sorted(GEOMETRIES))
def test_pieces_add_up_to_the_whole(geometry):
    pieces, whole = pieces_of(GEOMETRIES[geometry])
    assert sum(piece.macs * len(piece.modules) for piece in pieces) == whole
    named = [(module, piece.kind == FIXED) for piece in pieces for module in piece.modules]
    assert len(set(named)) == len(named)


def test_sd21_is_forty_two_different_pieces():
    pieces, whole = pieces_of(PRESETS["sd21"].unet, 64, 77)
    assert whole / 1e9 == pytest.approx(402.1, abs=0.05)
    assert sum(piece.macs * len(piece.modules) for piece in pieces) == whole
    assert len(pieces) == 42
    assert sum(len(piece.modules) for piece in pieces if piece.kind != FIXED) == 70


@pytest.mark.parametrize("geometry", ["sd2", "scale_shift", "no_mid"])
def test_a_piece_with_fewer_gates_costs_what_they_cost(geometry):
    config = GEOMETRIES[geometry]
    unet = on_meta(config)
    space = discover(unet)
    cost = mac_cost(unet.config, space, 8, 8, TOKENS)
    per_gate = {group.module: cost.per_gate[columns][0] for group, columns in space.columns()}
    pieces, _ = pieces_of(config, rows=1)
    for piece in pieces:
        for kept in piece.counts(2) if piece.kind != FIXED else ():
            spared = piece.macs - (piece.gates - kept) * per_gate[piece.modules[0]]
            assert counted(piece.build(kept), piece.form) == (spared if kept else 0)


def counted(form, dense):
    for module in form.modules():
        if hasattr(module, "set_processor"):
            module.set_processor(AttnProcessor())  # fused attention is invisible to the counter on CPUs
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        form(*inputs(dense))
    return counter.get_total_flops() // 2


def test_forms_compute_what_the_unet_computes_there():
    """Each form gets the tensors of a true call, and gives what that call passed on."""
    unet = make_unet("sd2", torch.float32)
    calls = record(on_meta(GEOMETRIES["sd2"]), 2, 8, 8, TOKENS)
    block = "down_blocks.0.attentions.0.transformer_blocks.0"
    hidden, context = torch.randn(2, 64, 16), torch.randn(2, TOKENS, 12)
    layer = unet.get_submodule(block)
    forms = [
        ResidualCall(layer.attn1, calls[f"{block}.attn1"], layer.norm1),
        ResidualCall(layer.attn2, calls[f"{block}.attn2"], layer.norm2),
        ResidualCall(layer.ff, calls[f"{block}.ff"], layer.norm3),
    ]
    with torch.no_grad():
        wanted = layer(hidden, encoder_hidden_states=context)
        found = forms[2](forms[1](forms[0](hidden), context))
        torch.testing.assert_close(found, wanted)
        resnet = unet.up_blocks[0].resnets[0]
        stream, skip, time = torch.randn(2, 32, 4, 4), torch.randn(2, 32, 4, 4), torch.randn(2, 64)
        joined = Joined(resnet, calls["up_blocks.0.resnets.0"], 32)
        assert joined.shapes == [stream.shape, skip.shape, time.shape]
        torch.testing.assert_close(joined(stream, skip, time), resnet(torch.cat([stream, skip], dim=1), time))


def test_widths_are_the_ends_the_steps_between_and_one_above_each():
    pieces, _ = pieces_of(GEOMETRIES["sd2"])
    counts = {piece.gates: piece.counts(4) for piece in pieces if not isinstance(piece.form, Joined)}
    assert counts == {
        1: (1,),
        2: (1, 2),
        4: (1, 2, 3, 4),
        8: (1, 2, 3, 4, 5, 6, 7, 8),
        32: (1, 8, 9, 16, 17, 24, 25, 32),
    }
    assert {piece.counts(1)[-2:] for piece in pieces if piece.gates == 32} == {(1, 32)}


def test_only_a_resnet_that_reads_a_skip_tensor_leaves_something_when_it_is_skipped():
    pieces, _ = pieces_of(GEOMETRIES["sd2"])
    left = {module for piece in pieces if 0 in piece.counts(1) for module in piece.modules}
    unet = on_meta(GEOMETRIES["sd2"])
    skippable = {gate.module for gate in discover(unet, depth="all").depths}
    assert left == {module for module in skippable if module.startswith("up_blocks") and "resnets" in module}
    piece = next(piece for piece in pieces if 0 in piece.counts(1))
    stream, skip, *rest = inputs(piece.form)
    assert torch.equal(piece.build(0)(stream, skip, *rest), stream)


def test_weights_are_those_that_float16_holds():
    pieces, _ = pieces_of(GEOMETRIES["sd2"])
    for parameter in pieces[-1].build(1).parameters():
        assert torch.equal(parameter, parameter.half().float())
        assert not parameter.requires_grad


def test_blocks_whose_norms_are_others_are_refused():
    unet = on_meta(GEOMETRIES["sd2"])
    calls, space, macs = record(unet, 1, 8, 8, TOKENS), discover(unet), module_macs(unet, 8, 8, TOKENS)
    unet.down_blocks[0].attentions[0].transformer_blocks[0].norm_type = "ada_norm"
    with pytest.raises(Refused, match="transformer_blocks.0: with norms of type ada_norm"):
        cut(unet, space, calls, macs)
