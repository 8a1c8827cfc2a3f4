"""Pipeline geometries by name, as the configs diffusers and transformers build them from. Data only."""

from dataclasses import dataclass, field
from typing import Any

Config = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Preset:
    """One pipeline's geometry; `size` is the side of the image it is made for, in pixels.

    `scheduler`: what its scheduler has beside SCHEDULER.
    """

    size: int
    unet: Config
    vae: Config
    text_encoders: tuple[Config, ...]
    prediction: str
    tokens: int = 77
    scheduler: Config = field(default_factory=dict)


SCHEDULER: Config = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "skip_prk_steps": True,  # read by PNDM, kept for it by the others
}

SD_VAE: Config = {
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "sample_size": 512,
}

CLIP_L: Config = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
    "vocab_size": 49408,
}

OPENCLIP_H: Config = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,  # of 24: SD 2 reads the penultimate layer
    "num_attention_heads": 16,
    "projection_dim": 512,
    "vocab_size": 49408,
    "hidden_act": "gelu",
}

OPENCLIP_BIG_G: Config = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
    "vocab_size": 49408,
    "hidden_act": "gelu",
}

DEFAULT_BUDGETS = (0.5, 0.62, 0.74, 0.85)  # one code each, as shares of the dense MACs

PRESETS: dict[str, Preset] = {
    "tiny": Preset(
        size=64,
        prediction="v_prediction",
        tokens=32,
        # The last timestep is pure noise and the first one drawn: else plain black or white cannot be drawn.
        scheduler={"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"},
        unet={
            "sample_size": 16,
            "block_out_channels": (64, 96, 128),
            "layers_per_block": 1,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "attention_head_dim": (2, 3, 4),
            "cross_attention_dim": 160,
            "use_linear_projection": True,
        },
        vae={
            "block_out_channels": (16, 32, 64),
            "layers_per_block": 1,
            "norm_num_groups": 8,
            "latent_channels": 4,
            "down_block_types": ("DownEncoderBlock2D",) * 3,
            "up_block_types": ("UpDecoderBlock2D",) * 3,
            "sample_size": 64,
        },
        text_encoders=(
            {
                "hidden_size": 160,
                "intermediate_size": 640,
                "num_hidden_layers": 2,
                "num_attention_heads": 5,
                "projection_dim": 160,
                "vocab_size": 1024,
                "hidden_act": "gelu",
            },
        ),
    ),
    "sd15": Preset(
        size=512,
        prediction="epsilon",
        unet={"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
        vae=SD_VAE,
        text_encoders=(CLIP_L,),
    ),
    "sd21": Preset(
        size=768,
        prediction="v_prediction",
        unet={
            "sample_size": 96,
            "cross_attention_dim": 1024,
            "attention_head_dim": (5, 10, 20, 20),
            "use_linear_projection": True,
        },
        vae=SD_VAE,
        text_encoders=(OPENCLIP_H,),
    ),
    "sdxl": Preset(
        size=1024,
        prediction="epsilon",
        unet={
            "sample_size": 128,
            "block_out_channels": (320, 640, 1280),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "transformer_layers_per_block": (1, 2, 10),
            "attention_head_dim": (5, 10, 20),
            "cross_attention_dim": 2048,
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
        },
        vae={**SD_VAE, "scaling_factor": 0.13025, "force_upcast": True},
        text_encoders=(CLIP_L, OPENCLIP_BIG_G),
    ),
}
