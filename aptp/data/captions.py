"""Captions prepared for training: one line, without stock phrases, short enough for the text encoder."""

import re
from collections.abc import Callable
from typing import Any

Fits = Callable[[str], bool]

PREFIX = re.compile(r"^this image displays\s*:?\s*", re.IGNORECASE)
SENTENCE = re.compile(r"[.!?][\"'”’)\]]*(?=\s)")


class Window:
    """A check that a text encoder reads all of a caption, by its tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(self, caption: str) -> bool:
        tokens = self._tokenizer(caption, truncation=False, verbose=False).input_ids
        return len(tokens) <= int(self._tokenizer.model_max_length)


def tidy(caption: str) -> str:
    """Remove control characters, and join runs of white space."""
    return " ".join("".join(c if c.isprintable() else " " for c in caption).split())


def without_prefix(caption: str) -> str:
    """Remove the words that nearly all captions of PixelProse begin with."""
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
