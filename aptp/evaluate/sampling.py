"""Drawing of captions, by a checkpoint's modules or by those of a run that is still training."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline

from aptp.checkpoint.reader import Checkpoint
from aptp.data.scenes.vocabulary import SIDE
from aptp.evaluate.detections import Pictures

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Parts:
    """The modules of a latent diffusion pipeline, in eval mode; the scheduler may be of any kind that DDIM
    can be made from.
    """

    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler: Any

    @classmethod
    def of(cls, checkpoint: Checkpoint, device: torch.device = CPU) -> "Parts":
        """Return a checkpoint's parts on a device, without its UNet."""
        return cls(
            unet=None,
            vae=checkpoint.vae().to(device),
            text_encoder=checkpoint.text_encoder().to(device),
            tokenizer=checkpoint.clip_tokenizer(),
            scheduler=DDIMScheduler.from_config(checkpoint.scheduler_config()),
        )

    @classmethod
    def of_pipeline(cls, pipeline: Any) -> "Parts":
        """Return a pipeline's own modules, trained or in training."""
        return cls(pipeline.unet, pipeline.vae, pipeline.text_encoder, pipeline.tokenizer, pipeline.scheduler)

    def with_unet(self, unet: Any) -> "Parts":
        return replace(self, unet=unet)


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """The options of sampling: `steps` of DDIM; `batch`: pictures drawn at once, which changes none of them
    beyond rounding; `size`: their height and width; `device`: where the networks run.
    """

    steps: int = 25
    guidance: float = 4.0
    seed: int = 0
    batch: int = 50
    size: tuple[int, int] = (SIDE, SIDE)
    device: torch.device = CPU


def sample(
    parts: Parts,
    captions: Sequence[str],
    settings: SamplingOptions | None = None,
    *,
    numbers: Sequence[int] | None = None,
    progress: Callable[[int], None] = lambda pictures: None,
) -> Pictures:
    """Return a picture for each caption.

    `numbers`: each picture's number (by default its position): seed and number alone decide its start
    noise, so that several UNets can be compared on the same noise. `progress` is told of each batch how
    many pictures it had. What is not finite becomes black.
    """
    settings = settings or SamplingOptions()
    numbers = range(len(captions)) if numbers is None else numbers
    assert len(numbers) == len(captions)
    pipeline = _pipeline(parts)
    height, width = (side // pipeline.vae_scale_factor for side in settings.size)
    shape = (parts.unet.config.in_channels, height, width)
    drawn = [np.empty((0, *settings.size, 3), np.uint8)]
    for start in range(0, len(captions), settings.batch):
        some = slice(start, start + settings.batch)
        output = pipeline(
            list(captions[some]),
            latents=start_noise(shape, numbers[some], settings.seed).to(parts.unet.device, parts.unet.dtype),
            num_inference_steps=settings.steps,
            guidance_scale=settings.guidance,
            output_type="pt",
        )
        images = output.images.float().nan_to_num(0, 0, 0)  # [B, 3, H, W] in 0 … 1
        drawn.append((images * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy())
        progress(len(images))
    return np.concatenate(drawn)


def start_noise(shape: tuple[int, int, int], numbers: Sequence[int], seed: int) -> torch.Tensor:
    """Draw standard normal latents [N, C, h, w], each drawn from `seed` and its own number."""
    draws = [np.random.default_rng((seed, number)).standard_normal(shape, np.float32) for number in numbers]
    return torch.from_numpy(np.stack(draws))


def _pipeline(parts: Parts) -> Any:
    pipeline = StableDiffusionPipeline(
        unet=parts.unet,
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        scheduler=DDIMScheduler.from_config(parts.scheduler.config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
