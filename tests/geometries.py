"""Small UNets that differ where slicing could go wrong."""

from typing import Any

import torch
from diffusers import UNet2DConditionModel

_BASE: dict[str, Any] = {
    "sample_size": 8,
    "block_out_channels": (16, 32),
    "norm_num_groups": 8,
    "cross_attention_dim": 12,
    "layers_per_block": 2,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}

GEOMETRIES: dict[str, dict[str, Any]] = {
    # linear projections, head counts that vary by level (SD 2.x)
    "sd2": {**_BASE, "use_linear_projection": True, "attention_head_dim": (2, 4)},
    # convolutional projections, one head count everywhere (SD 1.x)
    "sd1": {**_BASE, "attention_head_dim": 4},
    # several transformer layers per block and extra conditioning (SDXL)
    "sdxl": {
        **_BASE,
        "use_linear_projection": True,
        "attention_head_dim": (2, 4),
        "transformer_layers_per_block": (2, 1),
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 4,
        "projection_class_embeddings_input_dim": 34,
    },
    # no mid block, one layer per block, attention at the bottom
    "no_mid": {
        **_BASE,
        "mid_block_type": None,
        "layers_per_block": 1,
        "attention_head_dim": (2, 4),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    },
    # time embedding as scale and shift, three layers per block
    "scale_shift": {
        **_BASE,
        "resnet_time_scale_shift": "scale_shift",
        "layers_per_block": 3,
        "attention_head_dim": (4, 8),
    },
}


def make_unet(geometry: str, dtype: torch.dtype = torch.float64, seed: int = 0) -> UNet2DConditionModel:
    """The named geometry with weights and norm offsets that leave no channel near zero."""
    torch.manual_seed(seed)
    unet = UNet2DConditionModel(**GEOMETRIES[geometry]).to(dtype).eval()
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return unet


def make_inputs(unet: UNet2DConditionModel, batch: int = 2, seed: int = 0, size: int = 8) -> dict[str, Any]:
    """Keyword arguments of one call: every row differs, timesteps included."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(unet.dtype)

    inputs: dict[str, Any] = {
        "sample": normal(batch, 4, size, size),
        "timestep": torch.linspace(3, 900, batch, dtype=torch.float64),
        "encoder_hidden_states": normal(batch, 5, 12),
    }
    if unet.config.addition_embed_type == "text_time":
        inputs["added_cond_kwargs"] = {"text_embeds": normal(batch, 10), "time_ids": normal(batch, 6)}
    return inputs
