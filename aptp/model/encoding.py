"""A pipeline's captions as token embeddings."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn


class Encoded(NamedTuple):
    """`hidden`: [B, T, E], one embedding per token; `mask`: bool [B, T], True where there is text."""

    hidden: torch.Tensor
    mask: torch.Tensor


Encode = Callable[[Sequence[str]], Encoded]


class TextEncoding:
    """A pipeline's tokenizer and text encoder: what cross-attention reads.

    Gradients flow where the encoder's weights ask for them.
    """

    def __init__(self, tokenizer: Any, encoder: nn.Module) -> None:
        self._tokenizer, self._encoder = tokenizer, encoder

    def __call__(self, captions: Sequence[str]) -> Encoded:
        tokens = self._tokenizer(list(captions), padding="max_length", truncation=True, return_tensors="pt")
        device = next(self._encoder.parameters()).device
        hidden = self._encoder(tokens.input_ids.to(device))[0]
        return Encoded(hidden, tokens.attention_mask.bool().to(device))
