"""Pooled prompt embeddings, of a batch or of a stream."""

import torch
from torch import Tensor

from aptp.data.sample import SampleSource
from aptp.model.encoding import Encode, Encoded

AT_ONCE = 64


def pooled(encoded: Encoded) -> Tensor:
    """Return [B, E]: the mean over each prompt's own tokens, as `aptp.model.router.Router` takes it; no
    padding.
    """
    mask = encoded.mask.unsqueeze(-1).to(encoded.hidden.dtype)
    return (encoded.hidden * mask).sum(1) / mask.sum(1)


@torch.no_grad()
def embeddings(encode: Encode, source: SampleSource, count: int, *, start: int = 0) -> Tensor:
    """Return [count, E] float32 on the CPU: the prompts of `source` from position `start`."""
    captions = [source[start + i].caption for i in range(count)]
    parts = [captions[i : i + AT_ONCE] for i in range(0, count, AT_ONCE)]
    return torch.cat([pooled(encode(part)).float().cpu() for part in parts])
