"""Counting the multiply-accumulates of every module of a UNet, on the meta device."""

from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn


def module_macs(unet: UNet2DConditionModel, height: int, width: int, tokens: int) -> dict[str, int]:
    """Return the MACs of one call (batch 1) by module path; an attention's own entry holds its two products.

    `unet` lies on the meta device; `height` and `width` are latent sides, `tokens` the length of
    the text sequence.
    """
    counts: dict[str, int] = {}
    handles = [
        module.register_forward_hook(_counter(name, counts), with_kwargs=True)
        for name, module in unet.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear | Attention)
    ]
    try:
        with torch.no_grad():
            unet(**example_inputs(unet, height, width, tokens))
    finally:
        for handle in handles:
            handle.remove()
    return counts


def _counter(name: str, counts: dict[str, int]) -> Any:
    def count(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            window = module.kernel_size[0] * module.kernel_size[1]
            macs = output.numel() * window * module.in_channels // module.groups
        elif isinstance(module, nn.Linear):
            macs = output.numel() * module.in_features
        else:
            macs = _attention_products(module, args, kwargs)
        counts[name] = counts.get(name, 0) + macs

    return count


def _attention_products(module: Attention, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Count Q·Kᵀ and A·V: two products of queries × keys × channels."""
    hidden = args[0] if args else kwargs["hidden_states"]
    context = args[1] if len(args) > 1 else kwargs.get("encoder_hidden_states")
    queries = hidden.shape[0] * hidden.shape[1]
    keys = (hidden if context is None else context).shape[1]
    return int(2 * queries * keys * module.inner_dim)


def example_inputs(
    unet: UNet2DConditionModel, height: int, width: int, tokens: int, rows: int = 1
) -> dict[str, Any]:
    """Make the inputs of one call on the device of `unet`, which `unet_config.check_supported` has let in."""
    config, device, dtype = unet.config, unet.device, unet.dtype
    context = config.cross_attention_dim
    if isinstance(context, list | tuple):
        context = context[0]
    inputs: dict[str, Any] = {
        "sample": torch.zeros(rows, config.in_channels, height, width, device=device, dtype=dtype),
        "timestep": torch.zeros(rows, device=device),
        "encoder_hidden_states": torch.zeros(rows, tokens, context, device=device, dtype=dtype),
    }
    if config.addition_embed_type == "text_time":  # SDXL: pooled text and six size numbers
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        inputs["added_cond_kwargs"] = {
            "text_embeds": torch.zeros(rows, pooled, device=device, dtype=dtype),
            "time_ids": torch.zeros(rows, 6, device=device),
        }
    return inputs
