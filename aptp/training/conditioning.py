"""Captions as the UNet reads them, and their dropout for classifier-free guidance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from aptp.training.draws import Draws

DROPPED = 0.1  # share of captions that are replaced by the empty one


class Encoded(NamedTuple):
    """``hidden``: [B, T, E], what cross-attention reads; ``mask``: bool [B, T], True where there is text."""

    hidden: torch.Tensor
    mask: torch.Tensor


class TextEncoding:
    """A pipeline's tokenizer and text encoder. Gradients flow where the encoder's weights ask for them."""

    def __init__(self, tokenizer: Any, encoder: nn.Module) -> None:
        self._tokenizer, self._encoder = tokenizer, encoder

    def __call__(self, captions: Sequence[str]) -> Encoded:
        tokens = self._tokenizer(list(captions), padding="max_length", truncation=True, return_tensors="pt")
        device = next(self._encoder.parameters()).device
        hidden = self._encoder(tokens.input_ids.to(device))[0]
        return Encoded(hidden, tokens.attention_mask.bool().to(device))


def drop(captions: Sequence[str], draws: Draws, share: float = DROPPED) -> list[str]:
    """The captions with a random ``share`` of them emptied."""
    dropped = (draws.uniform() < share).tolist()
    return ["" if gone else caption for caption, gone in zip(captions, dropped, strict=True)]
