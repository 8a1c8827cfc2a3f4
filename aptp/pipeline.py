"""A diffusers pipeline to start from: built from a geometry preset with random weights, or read from a
local folder.
"""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DiffusionPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.models.attention_processor import AttnProcessor
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from aptp.components.boundary import reading
from aptp.components.clip_tokenizer import read_clip_tokenizer
from aptp.components.config_file import read_config
from aptp.components.networks import DIFFUSERS, TRANSFORMERS, read_network
from aptp.components.scheduler import read_scheduler
from aptp.components.servable import ComponentConfigs, check_servable
from aptp.components.weight_files import find_weights, stored_dtype
from aptp.model.initial import randomise
from aptp.model.tokenizer import make_tokenizer
from aptp.presets import PRESETS, SCHEDULER, Preset
from aptp.space.unet_config import check_resolution
from runtime.errors import CheckpointError, UsageError

SUPPORTED = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
CLASSES: Mapping[str, Any] = {
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
    "tokenizer": CLIPTokenizer,
    "tokenizer_2": CLIPTokenizer,
}


def build_pipeline(preset: Preset, seed: int, dtype: torch.dtype) -> DiffusionPipeline:
    """Build a pipeline of the preset's geometry with random weights drawn from `seed`, stored as `dtype`."""
    generator = torch.Generator().manual_seed(seed)

    def filled(module: nn.Module) -> Any:
        randomise(module, generator)
        return module.eval()

    return _assembled(
        preset,
        filled(_empty(AutoencoderKL, dtype, **preset.vae)),
        filled(_empty(UNet2DConditionModel, dtype, **preset.unet)),
        lambda kind, config: filled(kind(config).to(dtype)),
    )


def untrained_pipeline(preset: Preset, seed: int) -> DiffusionPipeline:
    """Return a pipeline to train, float32: its weights are drawn from `seed` as its libraries initialise
    them.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _assembled(
            preset,
            AutoencoderKL(**preset.vae),
            UNet2DConditionModel(**preset.unet),
            lambda kind, config: kind(config),
        )


def _assembled(
    preset: Preset, vae: Any, unet: Any, encoder: Callable[[Any, CLIPTextConfig], Any]
) -> DiffusionPipeline:
    tokenizer = make_tokenizer(preset.tokens)
    scheduler = DDIMScheduler.from_config(
        {**SCHEDULER, **preset.scheduler, "prediction_type": preset.prediction}
    )
    special = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    configs = [
        CLIPTextConfig(**config, **special, max_position_embeddings=preset.tokens)
        for config in preset.text_encoders
    ]
    parts = {
        "unet": unet,
        "vae": vae,
        "text_encoder": encoder(CLIPTextModel, configs[0]),
        "tokenizer": tokenizer,
        "scheduler": scheduler,
    }
    if len(configs) == 1:
        return StableDiffusionPipeline(
            **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    second = {
        "text_encoder_2": encoder(CLIPTextModelWithProjection, configs[1]),
        "tokenizer_2": tokenizer,
    }
    return StableDiffusionXLPipeline(**parts, **second)


def classic_attention(*models: Any) -> None:
    """Plain products and a softmax on the CPU, where they train small models a third faster than the fused
    kernels, whose backward pass is slow there.
    """
    if not torch.cuda.is_available():
        for model in models:
            model.set_attn_processor(AttnProcessor())


def read_pipeline(folder: Path, dtype: torch.dtype | None) -> DiffusionPipeline:
    """Read the pipeline in a local diffusers folder, safetensors only; by default every network in the dtype
    that it is stored in.

    Links are followed, as in the hub's cache. Raises CheckpointError, or SpaceError of the UNet, for whatever
    is not whole, does not fit together or cannot be served.
    """
    index = _read_index(folder)
    parts = {
        name: read_network(_class_of(folder, index, name), folder / name, dtype)
        for name in ("unet", "vae", *_each(index, "text_encoder"))
    }
    encoders = [parts[name] for name in _each(index, "text_encoder")]
    text = tuple(encoder.config for encoder in encoders)
    told = tuple(config.to_dict() for config in text)
    check_servable(ComponentConfigs(folder, parts["unet"].config, parts["vae"].config, told))
    for name, config in zip(_each(index, "tokenizer"), text, strict=True):
        _class_of(folder, index, name)
        parts[name] = read_clip_tokenizer(folder / name, config)
    parts["scheduler"] = read_scheduler(folder / "scheduler")
    with reading(f"{folder} cannot be read as a {index['_class_name']}"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what diffusers corrects in old configs, it corrects for us, too
        return _whole(index, parts)


def _whole(index: Mapping[str, Any], parts: Mapping[str, Any]) -> DiffusionPipeline:
    if index["_class_name"] == "StableDiffusionPipeline":
        return StableDiffusionPipeline(
            **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    zeros = bool(index.get("force_zeros_for_empty_prompt", True))
    return StableDiffusionXLPipeline(**parts, force_zeros_for_empty_prompt=zeros)


def image_size(pipeline: DiffusionPipeline, option: str = "") -> tuple[int, int]:
    """Return the (height, width) in pixels that a pipeline is made for. `option`: what may say it instead.

    Raises UsageError where its UNet's config does not say.
    """
    side, scale = pipeline.unet.config.sample_size, pipeline.vae_scale_factor
    sides = [side, side] if isinstance(side, int) else side
    if not isinstance(sides, list | tuple) or len(sides) != 2 or not all(_is_side(one) for one in sides):
        raise UsageError(
            f"unet/config.json: sample_size is {side!r}: write the side of the latents there (64 for images "
            f"of 512 pixels){f', or give {option}' if option else ''}"
        )
    return sides[0] * scale, sides[1] * scale


def _is_side(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number > 0


def stored_dtypes(folder: Path) -> dict[str, torch.dtype | None]:
    """Return the dtype that each network of a pipeline's folder is stored in, by its name; None where it has
    no floating numbers. Raises CheckpointError.
    """
    index = _read_index(folder)
    found: dict[str, torch.dtype | None] = {}
    for name in ("unet", "vae", *_each(index, "text_encoder")):
        stem = TRANSFORMERS if name.startswith("text") else DIFFUSERS
        found[name] = stored_dtype(find_weights(folder / name, stem))
    return found


def _read_index(folder: Path) -> dict[str, Any]:
    """Read `model_index.json`, of a pipeline that this software prunes. Raises CheckpointError."""
    if not (folder / "model_index.json").is_file():
        raise CheckpointError(f"{folder} is not a diffusers pipeline folder: {_instead(folder)}")
    index = read_config(folder / "model_index.json")
    if index.get("_class_name") not in SUPPORTED:
        raise CheckpointError(
            f"{folder} is a {index.get('_class_name')}; this software prunes {' and '.join(SUPPORTED)}"
        )
    return index


def _instead(folder: Path) -> str:
    """Say what is at `folder`, and how a pipeline's folder comes of it."""
    if folder.is_file():
        return (
            "it is a file; diffusers makes a folder of a single-file checkpoint: "
            "StableDiffusionPipeline.from_single_file(FILE).save_pretrained(DIR)"
        )
    if not folder.is_dir():
        return (
            "there is no such folder; pipelines are read from this machine alone: fetch one with "
            "hf download NAME --local-dir DIR"
        )
    if snapshots := sorted((folder / "snapshots").glob("*/model_index.json")):
        return f"it is an entry of the hub's cache; give {snapshots[-1].parent}"
    if (folder / "config.json").is_file():
        return "it has no model_index.json; it holds one component: give the folder above"
    return "it has no model_index.json"


def _each(index: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return the names of the components of a kind that the pipeline's class has."""
    return (name,) if index["_class_name"] == "StableDiffusionPipeline" else (name, f"{name}_2")


def _class_of(folder: Path, index: Mapping[str, Any], name: str) -> Any:
    """Return the class that a component has to be of. Raises CheckpointError for another one."""
    kind, told = CLASSES[name], index.get(name)
    found = told[-1] if isinstance(told, list) and told else told
    if found != kind.__name__ and not (kind is CLIPTokenizer and found == "CLIPTokenizerFast"):
        raise CheckpointError(
            f"{folder}/model_index.json: {name} is {found!r}; this software prunes and serves "
            f"pipelines with {kind.__name__} there"
        )
    return kind


def draws_scenes(config: Mapping[str, Any]) -> bool:
    """Return whether a UNet of this config is of the default's kind, which draws rendered scenes."""
    return all(_plain(config.get(name)) == _plain(value) for name, value in PRESETS["tiny"].unet.items())


def check_size(size: tuple[int, int], scale: int, config: Mapping[str, Any]) -> tuple[int, int]:
    """Return `size`, (height, width) in pixels. Raises UsageError and SpaceError where a VAE of that `scale`
    and a UNet of that `config` cannot halve it evenly.
    """
    height, width = size
    if height % scale or width % scale:
        raise UsageError(f"size {width}x{height}: both sides must be multiples of {scale} pixels")
    check_resolution(config, height // scale, width // scale)
    return size


def chosen_size(pipeline: DiffusionPipeline, asked: tuple[int, int] | None) -> tuple[int, int]:
    """Return the (height, width) in pixels that is `asked` for, or else the pipeline's own.

    Raises UsageError and SpaceError, as `image_size` and `check_size` do.
    """
    size = asked or image_size(pipeline, "--size WIDTHxHEIGHT")
    return check_size(size, pipeline.vae_scale_factor, pipeline.unet.config)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _empty(kind: Any, dtype: torch.dtype, **config: Any) -> nn.Module:
    """Return the module with memory but without its default initialisation, which takes longer than ours."""
    with torch.device("meta"):
        module: nn.Module = kind(**config)
    return nn.Module.to(module, dtype).to_empty(device="cpu")
