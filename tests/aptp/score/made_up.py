"""Made-up encoders, of the true networks' shapes where that matters, and small folders of pictures."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from transformers import CLIPConfig, CLIPModel

from aptp.model.tokenizer import make_tokenizer
from aptp.score.inception import Inception
from runtime.formats import PNG_KEY


def inception_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights of FID's network, random and of a scale that keeps features apart; with its classifier."""
    generator = torch.Generator().manual_seed(seed)
    state = Inception().state_dict()
    for name, tensor in state.items():
        if name.endswith("conv.weight"):
            tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5, generator=generator)
        elif name.endswith(("bn.bias", "running_mean")):
            tensor.normal_(0, 0.1, generator=generator)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5, generator=generator)
    plain = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    return {**plain, "fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}


def write_inception(path: Path, seed: int = 0) -> Path:
    torch.save(inception_state(seed), path)
    return path


def write_clip(folder: Path, *, side: int = 32, seed: int = 0) -> Path:
    """A CLIP of two layers that reads pictures of `side` pixels."""
    tokenizer = make_tokenizer()
    layers: dict[str, Any] = {"num_hidden_layers": 2, "num_attention_heads": 2}
    layers |= {"hidden_size": 32, "intermediate_size": 64, "projection_dim": 24}
    text = {
        **layers,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 77,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {**layers, "image_size": side, "patch_size": 8}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=24))
    for name, parameter in model.named_parameters():
        if "projection" in name or "embedding" in name:
            parameter.data *= 5  # or all pictures would look the same
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def pictures(count: int, size: tuple[int, int] = (40, 40), seed: int = 0) -> np.ndarray:
    """Pictures [N, H, W, 3] of blotches, each its own; `size` is (width, height)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 4, 4, 3), np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(each).resize(size, Image.Resampling.BICUBIC)) for each in coarse]
    )


def write_pictures(
    folder: Path,
    drawn: np.ndarray,
    captions: Sequence[str] | None = None,
    *,
    experts: Sequence[str] = ("dense",),
    seed: int = 0,
) -> Path:
    """PNGs as `runtime.generate` names and describes them; without captions, PNGs of nothing but pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, pixels in enumerate(drawn):
        text = PngInfo()
        if captions is not None:
            told = {"prompt": captions[i], "expert": experts[i % len(experts)], "seed": seed + i}
            text.add_text(PNG_KEY, json.dumps(told))
        Image.fromarray(pixels).save(folder / f"{i:03d}-a-picture-seed{seed + i}.png", pnginfo=text)
    return folder


def captions(count: int) -> list[str]:
    colours, shapes = ("red", "green", "blue", "white", "black"), ("circle", "square", "star", "cross")
    return [f"a {colours[i % 5]} {shapes[i % 4]} and {i} hearts" for i in range(count)]
