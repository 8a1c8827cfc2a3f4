"""Prompts to embeddings: one at a time, on the CPU provider, in float32, so that nothing else matters."""

import threading
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from runtime.bundle.reader import Bundle
from runtime.bundle.schema import EncoderEntry
from runtime.errors import EngineFailure
from runtime.models.sessions import Sessions
from runtime.text.tokenizer import Tokenizer

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
        self._lock = threading.Lock()

    def __call__(self, prompt: str) -> Encoding:
        """Encode a prompt. Raises `UsageError` for what is no text, `EngineFailure` for non-finite values.

        Any thread may ask: a caller's own routes prompts while another prepares requests.
        """
        with self._lock:
            if prompt not in self._kept:
                self._kept[prompt] = self._encode(prompt)
                if len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(prompt)
            return self._kept[prompt]

    def _encode(self, prompt: str) -> Encoding:
        tokens = self._tokenizer(prompt)
        inputs = {"input_ids": tokens.ids, "attention_mask": tokens.mask}
        embedding = self._session.run(self.entry.output, {name: inputs[name] for name in self.entry.inputs})
        if not np.isfinite(embedding).all():
            raise EngineFailure(
                f"encoder {self.entry.name!r}: the embedding of {prompt[:32]!r} is not finite"
            )
        return Encoding(embedding, tokens.mask, tokens.dropped)

    def forget(self) -> None:
        """Encode every prompt anew from now on."""
        with self._lock:
            self._kept.clear()
