"""Prompts to embeddings: one at a time, on the CPU provider, in float32, so that nothing else matters."""

from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .bundle.reader import Bundle
from .bundle.schema import EncoderEntry
from .errors import EngineFailure
from .sessions import Sessions
from .tokenizer import Tokenizer

KEPT = 64  # encodings; 77 tokens of 1,024 floats are 0.3 MB


class Encoding(NamedTuple):
    """A prompt's `embedding` float32 [1, L, E], attention `mask` int64 [1, L], count of dropped tokens."""

    embedding: npt.NDArray[np.float32]
    mask: npt.NDArray[np.int64]
    dropped: int


class Encoder:
    """A text encoder with its tokenizer. Remembers the last prompts: negative ones come back."""

    def __init__(self, bundle: Bundle, entry: EncoderEntry, sessions: Sessions) -> None:
        self.entry = entry
        self._tokenizer = Tokenizer.load(bundle, entry.tokenizer)
        self._session = sessions.open(entry.model)
        self._session.require(entry.inputs, entry.output)
        self._kept: OrderedDict[str, Encoding] = OrderedDict()

    def __call__(self, prompt: str) -> Encoding:
        """Encode a prompt. Raises `UsageError` for what is no text, `EngineFailure` for non-finite values."""
        if prompt in self._kept:
            self._kept.move_to_end(prompt)
            return self._kept[prompt]
        tokens = self._tokenizer(prompt)
        inputs = {"input_ids": tokens.ids, "attention_mask": tokens.mask}
        embedding = self._session.run(self.entry.output, {name: inputs[name] for name in self.entry.inputs})
        if not np.isfinite(embedding).all():
            raise EngineFailure(
                f"encoder {self.entry.name!r}: the embedding of {prompt[:32]!r} is not finite"
            )
        self._kept[prompt] = encoding = Encoding(embedding, tokens.mask, tokens.dropped)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return encoding

    def forget(self) -> None:
        """Encode every prompt anew from now on."""
        self._kept.clear()
