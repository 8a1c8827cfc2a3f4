"""Captions dropped out for classifier-free guidance."""

from collections.abc import Sequence

from aptp.trainer.rng import Draws

DROPPED = 0.1  # share of captions that are replaced by the empty one


def drop(captions: Sequence[str], draws: Draws, share: float = DROPPED) -> list[str]:
    """The captions with a random `share` of them emptied."""
    dropped = (draws.uniform() < share).tolist()
    return ["" if gone else caption for caption, gone in zip(captions, dropped, strict=True)]
