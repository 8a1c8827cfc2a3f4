"""Configs of a pipeline's components, held against each other and against what a bundle can serve.

Refuses by the field of the file that is wrong, before anything is trained or made.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aptp.components.boundary import reading
from aptp.space.unet_config import check_supported
from runtime.errors import CheckpointError

Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ComponentConfigs:
    """The configs of the components in the pipeline's folder `root`; `text` has one per text encoder."""

    root: Path
    unet: Config
    vae: Config
    text: tuple[Config, ...]


def check_servable(configs: ComponentConfigs) -> None:
    """Raise CheckpointError, or SpaceError of the UNet, naming file and field, for components that cannot be
    served together.
    """
    unet, vae, root = configs.unet, configs.vae, configs.root
    with reading(f"{root}: its configs do not fit together"):
        check_supported(unet, f"{root}/unet/config.json")
        vae_scale(vae, root / "vae" / "config.json")
        _check_vae(vae, root / "vae" / "config.json")
        _check_unet(configs, root / "unet" / "config.json")
    for number, config in enumerate(configs.text, start=1):
        folder = "text_encoder" if number == 1 else f"text_encoder_{number}"
        if config.get("use_attention_mask"):
            raise _wrong(
                root / folder / "config.json",
                "use_attention_mask",
                True,
                "a bundle's text encoder reads all tokens, as Stable Diffusion's does; false where the UNet "
                "was trained so",
            )
    if unet["in_channels"] != vae["latent_channels"]:
        raise _wrong(
            root / "unet" / "config.json",
            "in_channels",
            unet["in_channels"],
            f"the latents of vae/config.json have {vae['latent_channels']} channels (inpainting UNets "
            "take more, and cannot be served)",
        )


def vae_scale(vae: Config, where: Path) -> int:
    """Return how many pixels a latent is wide. Raises CheckpointError for a config that does not say."""
    channels = vae.get("block_out_channels")
    wide = isinstance(channels, list | tuple) and 0 < len(channels) <= 8
    if not wide or not all(isinstance(count, int) and count > 0 for count in channels or ()):
        raise _wrong(where, "block_out_channels", channels, "it is a list of channels, one per level")
    return int(2 ** (len(channels or ()) - 1))


def _check_vae(vae: Config, where: Path) -> None:
    factor = vae.get("scaling_factor")
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < float("inf"):
        raise _wrong(where, "scaling_factor", factor, "it is a number above 0 (0.18215 in Stable Diffusion)")
    for field in ("latents_mean", "latents_std"):
        if vae.get(field) is not None:
            raise _wrong(where, field, vae[field], "a bundle's decoder knows a scaling_factor alone")


def _check_unet(configs: ComponentConfigs, where: Path) -> None:
    unet = configs.unet
    if unet["out_channels"] != unet["in_channels"]:
        raise _wrong(where, "out_channels", unet["out_channels"], f"in_channels is {unet['in_channels']}")
    width = sum(int(config["hidden_size"]) for config in configs.text)
    wanted = unet["cross_attention_dim"]
    for one in wanted if isinstance(wanted, list | tuple) else [wanted]:
        if one != width:
            raise _wrong(
                where, "cross_attention_dim", wanted, f"the text encoders give {width} numbers a token"
            )
    if unet.get("addition_embed_type") == "text_time" and len(configs.text) == 1:
        raise _wrong(
            where, "addition_embed_type", "text_time", "such UNets belong to pipelines with two text encoders"
        )


def _wrong(where: Path, field: str, value: Any, why: str) -> CheckpointError:
    return CheckpointError(f"{where}: {field} is {value!r}: {why}")
