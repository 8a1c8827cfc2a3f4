"""Attention under head gates on a GPU: the gates go into the kernel, which skips what they close.

A diffusers processor does so. It runs where the kernel can and otherwise leaves everything to
the processor it replaced, after which GatedUNet's hook on `to_out` multiplies by the gates: the same function
at the price of every head. So does the CPU, always.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from diffusers.models.attention_processor import Attention
from torch import Tensor

import kernels

# `kernels` is a namespace package. Where Hugging Face's distribution of that name lies in another folder than
# ours, Python finds its regular package alone, which then has to learn of our folder.
if find_spec("kernels.attention") is None:
    kernels.__path__.append(str(Path(__file__).parents[2] / "kernels"))

from kernels.attention.op import gated_attention, on_gpu
from kernels.attention.tiles import DTYPES, HEAD_DIMS


class GatedAttention:
    """`gates()` [B, H], the head gates of the running batch, applied inside attention.

    `plain`: the processor for what the kernel does not take: other devices, dtypes and head dims, attention
    masks, and normalised or rescaled attention. A mask of padded text goes this way too: diffusers gives it
    as a bias on every key, and reading off one that it is a prefix, which the kernel takes as lengths, would
    wait for the GPU. Stable Diffusion attends to padding and gives none.
    """

    def __init__(self, gates: Callable[[], Tensor], plain: Callable[..., Tensor]) -> None:
        self.gates = gates
        self.plain = plain

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """[B, N, C] to [B, N, C], as diffusers calls it."""
        if attention_mask is not None or not _fits(attn, hidden_states):
            return self.plain(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = attn.to_q(hidden_states), attn.to_k(source), attn.to_v(source)
        gates = self.gates()
        # A gate that is being learned must hear of the head it closed, as it does from the hook.
        mixed = gated_attention(q, k, v, gates, scale=attn.scale, straight_through=gates.requires_grad)
        project, drop = attn.to_out
        output: Tensor = drop(project.forward(mixed))  # past the hook, which would apply the gates again
        return output


def _fits(attn: Attention, x: Tensor) -> bool:
    return (
        on_gpu(x)
        and x.ndim == 3
        and x.dtype in DTYPES
        and attn.inner_dim // attn.heads in HEAD_DIMS
        and attn.group_norm is None
        and attn.spatial_norm is None
        and attn.norm_cross is None
        and attn.norm_q is None
        and attn.norm_k is None
        and not attn.residual_connection
        and attn.rescale_output_factor == 1
    )
