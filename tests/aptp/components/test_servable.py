"""Components that do not fit each other or a bundle, refused by the field of their config."""

from pathlib import Path
from typing import Any

import pytest

from aptp.components.servable import ComponentConfigs, check_servable, vae_scale
from runtime.errors import CheckpointError, SpaceError

UNET = {"in_channels": 4, "out_channels": 4, "cross_attention_dim": 32, "block_out_channels": (16, 32)}
VAE = {"block_out_channels": (16, 32), "latent_channels": 4, "scaling_factor": 0.18}
TEXT = {"hidden_size": 32}


def check(unet: dict[str, Any], vae: dict[str, Any], *text: dict[str, Any]) -> None:
    told = tuple({**TEXT, **one} for one in text)
    check_servable(ComponentConfigs(Path("pipe"), {**UNET, **unet}, {**VAE, **vae}, told))


def test_what_fits() -> None:
    check({}, {}, {})
    check({"cross_attention_dim": 64, "addition_embed_type": "text_time"}, {}, {}, {})
    check({"cross_attention_dim": (32, 32)}, {"latents_mean": None}, {"use_attention_mask": False})


@pytest.mark.parametrize(
    ("unet", "vae", "text", "message"),
    [
        (
            {"in_channels": 9, "out_channels": 9},
            {},
            {},
            r"unet/config\.json: in_channels is 9: the latents of",
        ),
        ({"out_channels": 8}, {}, {}, r"unet/config\.json: out_channels is 8: in_channels is 4"),
        ({"cross_attention_dim": 16}, {}, {}, "cross_attention_dim is 16: the text encoders give 32"),
        ({"cross_attention_dim": (32, 16)}, {}, {}, r"cross_attention_dim is \(32, 16\)"),
        ({"cross_attention_dim": None}, {}, {}, "cross_attention_dim is None"),
        ({"addition_embed_type": "text_time"}, {}, {}, "pipelines with two text encoders"),
        ({}, {"latents_mean": [0.0]}, {}, r"vae/config\.json: latents_mean is \[0\.0\]"),
        ({}, {"latents_std": [1.0]}, {}, "latents_std"),
        ({}, {"scaling_factor": 0}, {}, "scaling_factor is 0: it is a number above 0"),
        ({}, {"scaling_factor": "0.18"}, {}, "scaling_factor is '0.18'"),
        ({}, {"scaling_factor": True}, {}, "scaling_factor is True"),
        ({}, {"scaling_factor": float("nan")}, {}, "scaling_factor is nan"),
        ({}, {"block_out_channels": 7}, {}, "block_out_channels is 7"),
        ({}, {}, {"use_attention_mask": True}, r"text_encoder/config\.json: use_attention_mask is True"),
        ({}, {}, {"hidden_size": "x"}, "its configs do not fit together"),
    ],
)
def test_what_does_not(unet: dict[str, Any], vae: dict[str, Any], text: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        check(unet, vae, text)


@pytest.mark.parametrize("field", ["time_cond_proj_dim", "encoder_hid_dim_type", "encoder_hid_dim"])
def test_a_unet_that_cannot_be_exported(field: str) -> None:
    with pytest.raises(SpaceError, match=rf"unet/config\.json: {field} is 16"):
        check({field: 16}, {}, {})


@pytest.mark.parametrize("channels", [None, [], 7, "abc", [16, 0], [16, "32"], [16] * 9])
def test_a_decoder_that_says_no_scale(channels: object) -> None:
    assert vae_scale(VAE, Path("here")) == 2
    with pytest.raises(CheckpointError, match="here: block_out_channels is "):
        vae_scale({"block_out_channels": channels}, Path("here"))
