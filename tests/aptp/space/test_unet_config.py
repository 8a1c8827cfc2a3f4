"""Refusals of UNets, by the field of their config, and of latents."""

import pytest

from aptp.space.unet_config import check_resolution, check_supported, latent_multiple
from runtime.errors import SpaceError

CONFIG = {"block_out_channels": (16, 32), "resnet_skip_time_act": False, "addition_embed_type": "text_time"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("class_embed_type", "timestep"),
        ("num_class_embeds", 10),
        ("time_cond_proj_dim", 256),
        ("time_embedding_act_fn", "silu"),
        ("resnet_skip_time_act", True),
        ("addition_embed_type", "text"),
    ],
)
def test_a_unet_that_could_not_be_exported_is_refused_by_the_field(field: str, value: object) -> None:
    check_supported(CONFIG, "here")
    with pytest.raises(SpaceError, match=rf"here: {field} is {value!r}, and such a UNet cannot be exported"):
        check_supported({**CONFIG, field: value}, "here")


@pytest.mark.parametrize(("height", "width"), [(7, 8), (8, 7), (0, 8)])
def test_latents_that_cannot_be_halved_are_refused(height: int, width: int) -> None:
    assert latent_multiple(CONFIG) == 2
    check_resolution(CONFIG, 8, 6)
    with pytest.raises(SpaceError, match="multiples of 2"):
        check_resolution(CONFIG, height, width)
