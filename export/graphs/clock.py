"""The clock: the part of a UNet that turns timesteps into the time embedding, taken out of it.

Engines that round the product of timestep and frequency take sines of wrong angles: bfloat16 knows every
fourth number at 981. So the clock is a float32 graph of its own, and the rest takes its output after the
activation [B, 4·C₀], which every resnet would compute again. Added conditions (SDXL's pooled text, sizes and
crops) are summed before the activation, so they are the clock's inputs as well. Refuses UNets whose resnets
read something else than that sum.
"""

from collections.abc import Mapping

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

from aptp.space.unet_config import check_supported
from runtime.errors import Refused

TIME_EMBEDDING = "time_embedding"
# The last two are of clocks whose `addition_embed_type` is `text_time`.
INPUTS = ("timestep", "text_embeds", "time_ids")


class Clock(nn.Module):
    """The clock of a UNet: timestep [B], and text_embeds [B, P] and time_ids [B, 6] where it has them → time
    embedding [B, 4·C₀].

    Its modules are the UNet's, under the UNet's names.
    """

    def __init__(self, unet: UNet2DConditionModel, activation: nn.Module) -> None:
        super().__init__()
        self.time_proj, self.time_embedding = unet.time_proj, unet.time_embedding
        if unet.config.addition_embed_type is not None:
            self.add_time_proj, self.add_embedding = unet.add_time_proj, unet.add_embedding
        self.activation = activation

    def forward(
        self, timestep: Tensor, text_embeds: Tensor | None = None, time_ids: Tensor | None = None
    ) -> Tensor:
        total = self.time_embedding(self.time_proj(timestep))
        if text_embeds is not None:
            assert time_ids is not None, "pooled text comes with sizes and crops"
            sizes = self.add_time_proj(time_ids.flatten()).reshape(text_embeds.shape[0], -1)
            total = total + self.add_embedding(torch.cat([text_embeds, sizes], dim=-1))
        output: Tensor = self.activation(total)
        return output

    def fed(self, feed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the inputs that the UNet takes instead of `feed`'s, once its clock is out."""
        own = {name: feed[name] for name in INPUTS if name in feed}
        with torch.inference_mode():
            embedding = self(**own)
        return {**{name: one for name, one in feed.items() if name not in own}, TIME_EMBEDDING: embedding}


def take_out(unet: UNet2DConditionModel) -> Clock:
    """Return the clock of `unet`, which from then on takes the time embedding where it took timesteps.

    Raises SpaceError; and Refused, naming the module, where a UNet is built otherwise than its config says.
    """
    check_supported(unet.config, type(unet).__name__)
    for path, kind in (("time_proj", Timesteps), ("time_embedding", TimestepEmbedding)):
        if not isinstance(getattr(unet, path, None), kind):
            raise Refused(f"{path}: is no {kind.__name__}, so the UNet's clock cannot be found")
    resnets = [_resnet(path, module) for path, module in unet.named_modules() if _reads_time(module)]
    clock = Clock(unet, resnets[0].nonlinearity)
    for resnet in resnets:
        resnet.skip_time_act = True
    # What diffusers' forward pass asks for, one after the other, before its blocks.
    unet.get_time_embed = lambda sample, timestep: timestep
    unet.time_embedding = _Given()
    unet.get_aug_embed = lambda **_: None
    return clock


class _Given(nn.Module):
    def forward(self, embedding: Tensor, condition: None = None) -> Tensor:
        return embedding


def _reads_time(module: nn.Module) -> bool:
    return getattr(module, "time_emb_proj", None) is not None


def _resnet(path: str, module: nn.Module) -> ResnetBlock2D:
    if type(module) is not ResnetBlock2D:
        raise Refused(
            f"{path}: is a {type(module).__name__}, and how it reads the time embedding is not known; "
            "the clock can be taken out of UNets of ResnetBlock2D"
        )
    return module
