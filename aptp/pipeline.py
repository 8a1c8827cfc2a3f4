"""A diffusers pipeline to start from: built from a geometry preset with random weights, or read from a
local folder.
"""

from collections.abc import Callable
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
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from aptp.model.initial import randomise
from aptp.model.tokenizer import make_tokenizer
from aptp.presets import SCHEDULER, Preset
from runtime.errors import CheckpointError, UsageError

STORED = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}
SUPPORTED = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")


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
    """Read the pipeline in a local diffusers folder, safetensors only; by default as its UNet is stored.

    Raises CheckpointError for anything else.
    """
    if not (folder / "model_index.json").is_file():
        raise CheckpointError(f"{folder} is not a diffusers pipeline folder: it has no model_index.json")
    try:
        pipeline = DiffusionPipeline.from_pretrained(
            folder,
            dtype=dtype or stored_dtype(folder),
            use_safetensors=True,
            local_files_only=True,
            safety_checker=None,
            feature_extractor=None,
        )
    except (
        OSError,
        ValueError,
        RuntimeError,
        TypeError,
        LookupError,
        AttributeError,
        SafetensorError,
    ) as error:
        raise CheckpointError(f"{folder} cannot be read as a diffusers pipeline: {error}") from error
    if type(pipeline).__name__ not in SUPPORTED:
        raise CheckpointError(
            f"{folder} is a {type(pipeline).__name__}; this software prunes {' and '.join(SUPPORTED)}"
        )
    return pipeline


def _empty(kind: Any, dtype: torch.dtype, **config: Any) -> nn.Module:
    """Return the module with memory but without its default initialisation, which takes longer than ours."""
    with torch.device("meta"):
        module: nn.Module = kind(**config)
    return nn.Module.to(module, dtype).to_empty(device="cpu")


def stored_dtype(folder: Path) -> torch.dtype | None:
    """Return the dtype of the UNet in a diffusers folder; None where its file says nothing known."""
    for path in sorted((folder / "unet").glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 (not a dict)
                return STORED.get(file.get_slice(name).get_dtype())
    return None


def image_size(pipeline: DiffusionPipeline, asked: tuple[int, int] | None) -> tuple[int, int]:
    """Return the (height, width) in pixels that is `asked` for, or else the pipeline's own. Raises UsageError
    where its VAE cannot take it.
    """
    scale, side = pipeline.vae_scale_factor, pipeline.unet.config.sample_size
    sides = (side, side) if isinstance(side, int) else tuple(side)
    height, width = asked or (sides[0] * scale, sides[1] * scale)
    if height % scale or width % scale:
        raise UsageError(f"size {width}x{height}: both sides must be multiples of {scale} pixels")
    return height, width
