"""Captions as they are trained on: in one line, without a stock phrase, no longer than what reads them."""

import re
from collections.abc import Callable
from typing import Any

Fits = Callable[[str], bool]

PREFIX = re.compile(r"^this image displays\s*:?\s*", re.IGNORECASE)
SENTENCE = re.compile(r"[.!?][\"'”’)\]]*(?=\s)")


class Window:
    """Whether a text encoder reads all of a caption, by its tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(self, caption: str) -> bool:
        tokens = self._tokenizer(caption, truncation=False, verbose=False).input_ids
        return len(tokens) <= int(self._tokenizer.model_max_length)


def tidy(caption: str) -> str:
    """Without control characters and runs of white space."""
    return " ".join("".join(c if c.isprintable() else " " for c in caption).split())


def without_prefix(caption: str) -> str:
    """PixelProse's captions without the words that nearly all of them begin with."""
    return PREFIX.sub("", caption.lstrip())


def shortened(caption: str, fits: Fits) -> str:
    """Return the most whole sentences from the start that fit; the caption itself where not even the first
    does, for its tokenizer to cut.
    """
    if fits(caption):
        return caption
    for end in reversed([match.end() for match in SENTENCE.finditer(caption)]):
        if fits(caption[:end]):
            return caption[:end]
    return caption
