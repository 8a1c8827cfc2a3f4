"""The subject of a profile: the geometry of a pipeline's UNet, and the call it will serve. Reads no
weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTokenizer

from aptp.checkpoint.reader import Checkpoint
from aptp.space.discover import discover
from aptp.space.groups import Space
from aptp.space.unet_config import check_resolution, check_supported
from runtime.errors import Refused, UsageError


@dataclass(frozen=True, slots=True)
class Subject:
    """A dense UNet by its `config`; a call has `rows` samples, `latent` sides and `tokens` tokens."""

    config: Mapping[str, Any]
    space: Space
    latent: tuple[int, int]
    tokens: int
    rows: int

    @classmethod
    def of(cls, folder: Path, size: tuple[int, int] | None = None, rows: int | None = None) -> "Subject":
        """Return the UNet of a checkpoint, or of a diffusers pipeline that is to become one.

        `size`: (height, width) in pixels; by default what the checkpoint was budgeted at, or what the
        pipeline is made for. `rows`: by default those of one image, which are two where it is guided.
        Raises UsageError, Refused and aptp's errors.
        """
        plain = (folder / "model_index.json").exists() and not (folder / "aptp.json").exists()
        found, scale, pixels = _pipeline(folder) if plain else _checkpoint(folder)
        height, width = size or pixels
        if height % scale or width % scale:
            raise UsageError(f"--size {height}x{width}: both sides must be multiples of {scale} pixels")
        latent = height // scale, width // scale
        check_supported(found.config)
        check_resolution(found.config, *latent)
        return cls(found.config, found.space, latent, found.tokens, rows or found.rows)

    def unet(self) -> UNet2DConditionModel:
        """Return the dense UNet, on the meta device."""
        with torch.device("meta"):
            return UNet2DConditionModel.from_config(dict(self.config)).eval()


def _checkpoint(folder: Path) -> tuple[Subject, int, tuple[int, int]]:
    """Return the subject, pixels per latent, and the size in pixels."""
    checkpoint = Checkpoint.open(folder)
    record, scale = checkpoint.record, checkpoint.vae_scale
    tokens, rows = checkpoint.tokenizer["length"], 1 if record.guidance <= 1 else 2
    found = Subject(checkpoint.unet_config, checkpoint.space, checkpoint.latent_size, tokens, rows)
    return found, scale, record.size


def _pipeline(folder: Path) -> tuple[Subject, int, tuple[int, int]]:
    try:
        config = UNet2DConditionModel.load_config(folder / "unet", local_files_only=True)
        vae = AutoencoderKL.load_config(folder / "vae", local_files_only=True)
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        tokens, side = int(tokenizer.model_max_length), config["sample_size"]
        scale = 2 ** (len(vae["block_out_channels"]) - 1)
        with torch.device("meta"):
            unet = UNet2DConditionModel.from_config(config)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(f"{folder} is not a Stable Diffusion pipeline: {error}") from error
    sides = (side, side) if isinstance(side, int) else tuple(side)
    found = Subject(config, discover(unet), sides, tokens, rows=2)  # images are guided unless told otherwise
    return found, scale, (sides[0] * scale, sides[1] * scale)
