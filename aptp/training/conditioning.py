"""Captions dropped out for classifier-free guidance."""

from __future__ import annotations

from collections.abc import Sequence

import torch

DROPPED = 0.1  # share of captions that are replaced by the empty one


def drop(captions: Sequence[str], rng: torch.Generator, share: float = DROPPED) -> list[str]:
    """The captions with a random ``share`` of them emptied."""
    dropped = (torch.rand(len(captions), generator=rng) < share).tolist()
    return ["" if gone else caption for caption, gone in zip(captions, dropped, strict=True)]
