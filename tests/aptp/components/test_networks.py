"""Networks that are whole, and those that lack a tensor, have another one, or one of another shape."""

import re
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file
from transformers import CLIPTextModel

from aptp.components.networks import read_network
from runtime.errors import CheckpointError
from tests.aptp.components.conftest import State, change_config, change_tensors, weights_of

# A component's class, folder, and one of its tensors.
COMPONENTS = [
    (UNet2DConditionModel, "unet", "conv_out.weight"),
    (AutoencoderKL, "vae", "decoder.conv_out.weight"),
    (CLIPTextModel, "text_encoder", "encoder.layers.0.self_attn.q_proj.weight"),
]
each = pytest.mark.parametrize(("kind", "name", "tensor"), COMPONENTS)


@each
def test_what_is_whole_is_read_as_it_is(whole: Path, kind: type, name: str, tensor: str) -> None:
    found = read_network(kind, whole / name).state_dict()
    stored = load_file(weights_of(whole / name))
    assert tensor in stored
    assert all(torch.equal(found[key], value) for key, value in stored.items())
    assert all(not value.is_meta for value in found.values())


@each
def test_a_tensor_that_is_missing(folder: Path, kind: type, name: str, tensor: str) -> None:
    change_tensors(folder / name, lambda state: {key: state[key] for key in state if key != tensor})
    with pytest.raises(
        CheckpointError, match=f"{name}: the file lacks: {re.escape(tensor)}; the weights are"
    ):
        read_network(kind, folder / name)


@each
def test_a_tensor_that_is_too_much(folder: Path, kind: type, name: str, tensor: str) -> None:
    change_tensors(folder / name, lambda state: {**state, "other.weight": torch.zeros(2)})
    with pytest.raises(
        CheckpointError, match=rf"{name}: the file has what the model does not know: other\.w"
    ):
        read_network(kind, folder / name)


@each
def test_a_tensor_of_another_shape(folder: Path, kind: type, name: str, tensor: str) -> None:
    change_tensors(folder / name, lambda state: {**state, tensor: state[tensor][1:]})
    with pytest.raises(CheckpointError, match=rf"in another shape: {re.escape(tensor)} \[\d+, .* instead of"):
        read_network(kind, folder / name)


@each
@pytest.mark.parametrize(
    ("renamed", "advice"),
    [
        (lambda name: name.replace(".weight", ".base_layer.weight"), "those of a LoRA: merge it"),
        (lambda name: f"module.{name}", "save the unwrapped model"),
        (lambda name: f"_orig_mod.{name}", "save the unwrapped model"),
    ],
)
def test_wrapped_weights(
    folder: Path, kind: type, name: str, tensor: str, renamed: object, advice: str
) -> None:
    change_tensors(folder / name, lambda state: {renamed(key): value for key, value in state.items()})
    with pytest.raises(CheckpointError, match=rf"the file lacks: .* and \d+ more; .*{advice}"):
        read_network(kind, folder / name)


def test_lora_tensors_beside_the_weights_are_not_dropped(folder: Path) -> None:
    lora = {"conv_in.lora_A.weight": torch.zeros(2, 2)}
    change_tensors(folder / "unet", lambda state: {**state, **lora})
    with pytest.raises(CheckpointError, match=r"conv_in\.lora_A\.weight; they are those of a LoRA: merge it"):
        read_network(UNet2DConditionModel, folder / "unet")


def test_the_whole_of_a_clip_holds_its_text_model(whole: Path, folder: Path) -> None:
    def clip(state: State) -> State:
        text = {f"text_model.{name}": tensor for name, tensor in state.items()}
        beside = ("vision_model.post_layernorm.bias", "text_projection.weight", "logit_scale")
        return {
            **text,
            "text_model.embeddings.position_ids": torch.arange(77),
            **{name: torch.zeros(1) for name in beside},
        }

    change_tensors(folder / "text_encoder", clip)
    found = read_network(CLIPTextModel, folder / "text_encoder").state_dict()
    wanted = read_network(CLIPTextModel, whole / "text_encoder").state_dict()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_attention_of_old_decoders_goes_by_other_names(whole: Path, folder: Path) -> None:
    names = {"to_q": "query", "to_k": "key", "to_v": "value", r"to_out\.0": "proj_attn"}

    def old(name: str) -> str:
        for new, former in names.items():
            name = re.sub(rf"(attentions\.0)\.{new}\.", rf"\1.{former}.", name)
        return name

    change_tensors(folder / "vae", lambda state: {old(name): tensor for name, tensor in state.items()})
    found = read_network(AutoencoderKL, folder / "vae").state_dict()
    wanted = read_network(AutoencoderKL, whole / "vae").state_dict()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_quantized_weights(folder: Path) -> None:
    change_config(folder / "unet" / "config.json", quantization_config={"quant_method": "bitsandbytes"})
    with pytest.raises(CheckpointError, match=r"unet/config\.json: quantization_config: quantized weights"):
        read_network(UNet2DConditionModel, folder / "unet")


@pytest.mark.parametrize(
    ("kind", "name", "field", "value"),
    [
        (AutoencoderKL, "vae", "block_out_channels", []),
        (AutoencoderKL, "vae", "block_out_channels", 7),
        (CLIPTextModel, "text_encoder", "num_attention_heads", 0),
        (CLIPTextModel, "text_encoder", "layer_norm_eps", "x"),
        (UNet2DConditionModel, "unet", "down_block_types", [True, "CrossAttnDownBlock2D"]),
        (UNet2DConditionModel, "unet", "block_out_channels", [10**9, 10**9]),
    ],
)
def test_a_config_that_describes_nothing(
    folder: Path, kind: type, name: str, field: str, value: object
) -> None:
    change_config(folder / name / "config.json", **{field: value})
    with pytest.raises(CheckpointError, match=f"{name} cannot be loaded as {kind.__name__}"):
        read_network(kind, folder / name)
