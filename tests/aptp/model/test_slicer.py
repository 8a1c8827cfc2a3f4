"""The slicer against an independent oracle, its bookkeeping, and its refusals."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch_pruning
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import nn

from aptp.model.sliced import SlicedUNet, config_of, slice_unet
from aptp.model.slicer import index_maps, scattered_state, sliced_shapes
from aptp.presets import SCHEDULER
from aptp.space.architecture import Architecture, full, harden
from aptp.space.discover import discover
from aptp.space.groups import Kind, Space, WidthGroup
from runtime.errors import CheckpointError, SpaceError
from tests.geometries import GEOMETRIES, make_inputs, make_unet


def architecture_of(space: Space, seed: int = 0) -> Architecture:
    return harden(space, np.random.default_rng(seed).random(space.size))


def without(space: Space, group: WidthGroup, columns: slice, gates: list[int]) -> Architecture:
    keep = full(space).keep.copy()
    keep[[columns.start + gate for gate in gates]] = False
    return Architecture(space, keep)


def oracle(unet: UNet2DConditionModel, group: WidthGroup, channels: list[int]) -> dict[str, torch.Size]:
    """Shapes after Torch-Pruning removes `channels` from the group's first layer and all that depends on
    them.
    """
    unet.requires_grad_(True)
    inputs = make_inputs(unet, batch=1)
    graph = torch_pruning.DependencyGraph().build_dependency(unet, example_inputs=inputs)
    first = {Kind.RESNET: "conv1", Kind.FEED_FORWARD: "net.0.proj"}.get(group.kind, "to_q")
    layers = ["to_q", "to_k", "to_v"] if first == "to_q" else [first]
    for name in layers:
        layer = unet.get_submodule(f"{group.module}.{name}")
        prune = (
            torch_pruning.prune_conv_out_channels
            if isinstance(layer, nn.Conv2d)
            else torch_pruning.prune_linear_out_channels
        )
        if name == layers[0] or layer.out_features > len(channels) + _left(unet, group):
            pruned = graph.get_pruning_group(layer, prune, idxs=channels)
            if graph.check_pruning_group(pruned):
                pruned.prune()
    return {name: tensor.shape for name, tensor in unet.state_dict().items()}


def _left(unet: UNet2DConditionModel, group: WidthGroup) -> int:
    return unet.get_submodule(f"{group.module}.to_q").out_features - 1


@pytest.mark.parametrize("kind", [Kind.RESNET, Kind.SELF_ATTENTION, Kind.CROSS_ATTENTION, Kind.FEED_FORWARD])
def test_torch_pruning_finds_the_same_coupled_tensors(kind: Kind) -> None:
    unet = make_unet("sd2", torch.float32)
    space = discover(unet)
    group, columns = next((g, c) for g, c in space.columns() if g.kind is kind)
    gates = [0] if group.gates == 2 else [0, 1]
    channels = [gate * group.chunk + i for gate in gates for i in range(group.chunk)]
    expected = oracle(make_unet("sd2", torch.float32), group, channels)
    shapes = {name: tensor.shape for name, tensor in unet.state_dict().items()}
    assert sliced_shapes(without(space, group, columns, gates), shapes) == expected


@pytest.mark.parametrize("geometry", sorted(GEOMETRIES))
def test_the_sliced_module_has_the_shapes_the_maps_say(geometry: str) -> None:
    unet = make_unet(geometry)
    architecture = architecture_of(discover(unet, depth="all"))
    shapes = {name: tensor.shape for name, tensor in unet.state_dict().items()}
    sliced = slice_unet(unet, architecture)
    assert {n: t.shape for n, t in sliced.state_dict().items()} == sliced_shapes(architecture, shapes)
    for module in sliced.modules():
        if isinstance(module, nn.GroupNorm):
            assert module.num_channels == module.weight.numel()
            assert module.num_channels % module.num_groups == 0
        if isinstance(module, nn.Linear):
            assert (module.out_features, module.in_features) == tuple(module.weight.shape)
        if isinstance(module, nn.Conv2d):
            assert (module.out_channels, module.in_channels) == tuple(module.weight.shape[:2])


def test_scale_shift_keeps_both_halves_of_the_time_projection() -> None:
    unet = make_unet("scale_shift")
    space = discover(unet)
    group, columns = next(iter(space.columns()))
    shapes = {name: tensor.shape for name, tensor in unet.state_dict().items()}
    maps = index_maps(without(space, group, columns, [0]), shapes)
    _, index = maps[f"{group.module}.time_emb_proj.weight"]
    hidden = group.gates * group.chunk
    assert index.tolist() == [*range(group.chunk, hidden), *range(hidden + group.chunk, 2 * hidden)]


def test_slicing_leaves_the_dense_unet_alone_and_shares_nothing() -> None:
    unet = make_unet("sd2")
    before = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    sliced = slice_unet(unet, architecture_of(discover(unet)))
    with torch.no_grad():
        for parameter in sliced.parameters():
            parameter.zero_()
    for name, tensor in unet.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("geometry", sorted(GEOMETRIES))
def test_it_saves_and_reloads_by_itself(geometry: str, tmp_path: Path) -> None:
    unet = make_unet(geometry, torch.float32)
    sliced = slice_unet(unet, architecture_of(discover(unet, depth="all")))
    sliced.save_pretrained(tmp_path)
    again = SlicedUNet.from_pretrained(tmp_path).eval()
    assert again.architecture == sliced.architecture
    inputs = make_inputs(unet)
    with torch.no_grad():
        assert torch.equal(again(**inputs).sample, sliced(**inputs).sample)


def test_it_runs_inside_the_pipeline() -> None:
    unet = make_unet("sd2", torch.float32)
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
    )
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=None,
        tokenizer=None,
        unet=slice_unet(unet, architecture_of(discover(unet))),
        scheduler=DDIMScheduler.from_config(SCHEDULER),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    text = torch.randn(1, 5, 12)
    image = pipeline(
        prompt_embeds=text,
        negative_prompt_embeds=text * 0,
        num_inference_steps=2,
        output_type="np",
        generator=torch.Generator().manual_seed(0),
    ).images[0]
    assert np.isfinite(image).all()
    assert image.std() > 0


def test_a_folder_whose_weights_do_not_fit_is_refused(tmp_path: Path) -> None:
    unet = make_unet("sd2", torch.float32)
    space = discover(unet)
    slice_unet(unet, architecture_of(space, 0)).save_pretrained(tmp_path)
    other = slice_unet(unet, architecture_of(space, 1))
    other.save_config(tmp_path)
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        SlicedUNet.from_pretrained(tmp_path)


def test_a_folder_with_a_missing_tensor_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    unet = make_unet("sd2", torch.float32)
    slice_unet(unet, architecture_of(discover(unet))).save_pretrained(tmp_path)
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    del state["conv_out.bias"]
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="conv_out.bias"):
        SlicedUNet.from_pretrained(tmp_path)


def test_an_architecture_of_another_geometry_is_refused() -> None:
    other = make_unet("no_mid")
    with pytest.raises(SpaceError, match="cannot be skipped"):
        SlicedUNet(architecture=config_of(full(discover(other))), **GEOMETRIES["sd2"])


@pytest.mark.parametrize("change", ["missing", "extra", "misshapen"])
def test_scatter_refuses_what_does_not_fit(change: str) -> None:
    unet = make_unet("sd2")
    expert = slice_unet(unet, architecture_of(discover(unet)))
    state = expert.state_dict()
    name = "conv_out.bias"
    match change:
        case "missing":
            del state[name]
        case "extra":
            state["surprise"] = torch.zeros(1)
        case "misshapen":
            state[name] = torch.zeros(3)
    with pytest.raises(SpaceError, match="missing|not part|wants"):
        scattered_state(state, unet.state_dict(), expert.architecture)


def test_scatter_keeps_the_dense_weights_elsewhere() -> None:
    unet = make_unet("sd2")
    expert = slice_unet(unet, architecture_of(discover(unet)))
    dense = unet.state_dict()
    for name, tensor in scattered_state(expert.state_dict(), dense, expert.architecture).items():
        assert torch.equal(tensor, dense[name]), name
