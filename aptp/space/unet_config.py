"""A UNet's config: which UNets this software prunes and exports, and the latents that they take.

Refuses a UNet by the field of its config, before anything is trained or traced.
"""

from collections.abc import Mapping
from typing import Any

from runtime.errors import SpaceError

# Fields that bring something else into the time embedding than timestep and SDXL's conditions, or make
# resnets read it in another way: `export.graphs.clock` could not take the clock out. With their plain values,
# and those of fields that make the UNet read more than a bundle gives it.
_PLAIN: Mapping[str, tuple[Any, ...]] = {
    "class_embed_type": (None,),
    "num_class_embeds": (None,),
    "time_cond_proj_dim": (None,),
    "time_embedding_act_fn": (None,),
    "resnet_skip_time_act": (None, False),
    "addition_embed_type": (None, "text_time"),
    # Projections of the prompt's embeddings that belong to other pipelines.
    "encoder_hid_dim": (None,),
    "encoder_hid_dim_type": (None,),
}


def check_supported(config: Mapping[str, Any], where: str = "unet/config.json") -> None:
    """Raise SpaceError, naming field and remedy, for a UNet that could not be exported."""
    for field, plain in _PLAIN.items():
        if (value := config.get(field)) not in plain:
            raise SpaceError(
                f"{where}: {field} is {value!r}, and such a UNet cannot be exported; "
                f"one that can has {' or '.join(map(repr, plain))}"
            )


def check_resolution(config: Mapping[str, Any], height: int, width: int) -> None:
    """Raise SpaceError unless a latent of `height` × `width` can be down-sampled evenly."""
    multiple = latent_multiple(config)
    if height % multiple or width % multiple or min(height, width) < multiple:
        raise SpaceError(f"latents of {height}x{width}: both sides must be multiples of {multiple}")


def latent_multiple(config: Mapping[str, Any]) -> int:
    """Latent sides must be multiples of this: two for each down-sampling."""
    return int(2 ** (len(config["block_out_channels"]) - 1))
