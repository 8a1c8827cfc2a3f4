"""Prompts to token ids (docs/BUNDLE.md, "Prompts"). Refuses NUL, half surrogate pairs, and long texts."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from runtime.bundle.reader import Bundle
from runtime.bundle.schema import TokenizerEntry
from runtime.errors import ManifestError, UsageError

CHARACTERS = 10_000

Int64 = npt.NDArray[np.int64]


class Tokens(NamedTuple):
    """`ids` and `mask`, int64 [1, length]; `dropped` counts the tokens that did not fit."""

    ids: Int64
    mask: Int64
    dropped: int


def check_prompt(prompt: str) -> str:
    """Return `prompt` if it is text of at most 10,000 characters; empty is fine. Raises `UsageError`."""
    if not isinstance(prompt, str):
        raise UsageError(f"a prompt must be a string, not {type(prompt).__name__}")
    if len(prompt) > CHARACTERS:
        raise UsageError(
            f"the prompt {prompt[:32]!r}… has {len(prompt)} characters; shorten it to {CHARACTERS}"
        )
    if "\0" in prompt:
        raise UsageError(f"the prompt {prompt[:32]!r} holds a NUL character; remove it")
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"the prompt {prompt[:32]!a} holds half of a surrogate pair; give valid Unicode"
        ) from error
    return prompt


class Tokenizer:
    """A tokenizer file and its frame."""

    def __init__(self, entry: TokenizerEntry, data: bytes) -> None:
        from tokenizers import Tokenizer as Tokenize

        try:
            self._tokenize = Tokenize.from_str(data.decode())
        except Exception as error:  # the library raises no narrower type
            raise ManifestError(f"{entry.file}: is not a tokenizers file: {error}") from error
        self._tokenize.no_padding()
        self._tokenize.no_truncation()
        self.entry = entry

    @classmethod
    def load(cls, bundle: Bundle, entry: TokenizerEntry) -> "Tokenizer":
        """Read the tokenizer that `entry` names. Raises `IntegrityError`, `ManifestError`."""
        return cls(entry, bundle.read(entry.file))

    def __call__(self, prompt: str) -> Tokens:
        """Return the ids of a prompt, framed by bos and eos, padded, and cut to fit. Raises `UsageError`."""
        found = self._tokenize.encode(check_prompt(prompt), add_special_tokens=False).ids
        entry = self.entry
        kept = found[: entry.length - 2]
        ids = np.full((1, entry.length), entry.pad, np.int64)
        ids[0, : len(kept) + 2] = [entry.bos, *kept, entry.eos]
        mask = np.zeros((1, entry.length), np.int64)
        mask[0, : len(kept) + 2] = 1
        return Tokens(ids, mask, len(found) - len(kept))
