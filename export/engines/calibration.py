"""Calibration: what an expert's UNet is given while it draws, for quantizers to set their ranges by.

Random inputs would not do. Ranges depend on the timestep, on the prompt, and on the half of guidance.
"""

from collections.abc import Sequence

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from torch import nn
from transformers import CLIPTokenizer

from aptp.checkpoint.reader import Checkpoint
from export.graphs import weights
from export.parity.ladder import Feed
from export.tables import solvers

PROMPTS, STEPS, SOLVER = 32, 10, "ddim"
MEASURED = 4  # of the prompts, the last: their calls show the error of what the others' set


def trajectories(checkpoint: Checkpoint, unet: UNet2DConditionModel, prompts: Sequence[str]) -> list[Feed]:
    """Draw each prompt in float32 with `unet`; return the inputs of its every call, in order.

    A call has 2 rows where the checkpoint's guidance is above 1: without the prompt, and with it. Prompt i
    has seed i.
    """
    encoder = checkpoint.text_encoder()
    weights.round_to_half(encoder)
    pipeline = StableDiffusionPipeline(
        vae=checkpoint.vae(),
        text_encoder=encoder,
        unet=unet,
        tokenizer=CLIPTokenizer.from_pretrained(checkpoint.path / "tokenizer"),
        scheduler=solvers.scheduler(SOLVER, checkpoint.scheduler_config(), STEPS),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    seen: list[Feed] = []

    def keep(module: nn.Module, sent: tuple[torch.Tensor, ...], named: dict[str, torch.Tensor]) -> None:
        sample, timestep = sent
        rows = timestep.reshape(-1).float().expand(len(sample)).clone()
        text = named["encoder_hidden_states"].clone()
        seen.append({"sample": sample.clone(), "timestep": rows, "encoder_hidden_states": text})

    hook = unet.register_forward_pre_hook(keep, with_kwargs=True)
    height, width = checkpoint.record.size
    for seed, prompt in enumerate(prompts):
        pipeline(
            prompt,
            num_inference_steps=STEPS,
            guidance_scale=checkpoint.record.guidance,
            generator=torch.Generator().manual_seed(seed),
            height=height,
            width=width,
            output_type="latent",
        )
    hook.remove()
    return seen
