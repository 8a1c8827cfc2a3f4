"""The tensors of a cache's shards, as the frozen encoders of a pipeline make them."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import torch

from aptp.data.batches import Batch, batches
from aptp.data.cache.records import Record, Records
from aptp.data.cache.source import HIDDEN, MASK, MOMENTS
from aptp.encode.task import Opened
from aptp.model.encoding import TextEncoding
from aptp.trainer.inputs import moments
from aptp.trainer.precision import autocast
from runtime.errors import CheckpointError

DTYPES = {"float32": torch.float32, "float16": torch.float16}


class Encoders:
    """The encoders of an opened task. Nothing has a gradient."""

    def __init__(self, opened: Opened) -> None:
        self._opened, self._task = opened, opened.task
        self._encoding = TextEncoding(opened.pipeline.tokenizer, opened.pipeline.text_encoder)
        self._loader: Iterator[Batch] = iter(())
        self._next = -1  # batch of the loader

    @torch.no_grad()
    def latents(self, samples: range, tell: Callable[[int], None]) -> dict[str, torch.Tensor]:
        """Return the tensors of `samples`, which begin at a whole batch: MOMENTS [N, 2C, h, w] and the
        records. `tell` hears how many are done.
        """
        found: list[torch.Tensor] = []
        records: list[Record] = []
        while left := len(samples) - len(records):
            batch = self._batch((samples.start + len(records)) // self._task.batch)
            found.append(self._moments(batch.images)[:left].cpu())
            self._check(found[-1], "the VAE", batch.captions)
            pairs = zip(batch.captions, batch.metadata, strict=True)
            records += [Record.of(caption, metadata) for caption, metadata in islice(pairs, left)]
            tell(len(records))
        return {MOMENTS: torch.cat(found), **Records.pack(records).tensors()}

    @torch.no_grad()
    def text(self, captions: Sequence[str], tell: Callable[[int], None]) -> dict[str, torch.Tensor]:
        """Return the tensors of `captions`: HIDDEN [N, T, E], MASK [N, T] uint8, and which captions they are.
        `tell` hears how many are done.
        """
        found = []
        for first in range(0, len(captions), self._task.batch):
            part = captions[first : first + self._task.batch]
            found.append(self._text(part))
            tell(first + len(part))
        hidden, mask = (torch.cat(field) for field in zip(*found, strict=True))
        return {HIDDEN: hidden, MASK: mask, **self.captions(captions)}

    def captions(self, captions: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return the tensors that say which captions a shard of text has."""
        return Records.pack(map(Record, captions)).tensors()

    @torch.no_grad()
    def empty(self) -> torch.Tensor:
        """Return [1, T, E]: the embeddings of the empty caption."""
        return self._text([""])[0]

    def bytes_per_sample(self) -> int:
        """Return the size of a sample's moments, measured on the first one."""
        image = torch.zeros(1, 3, *self._opened.source[0].image.shape[:2])
        return int(self._moments(image).nbytes)

    def bytes_per_caption(self) -> int:
        """Return the size of a caption's embeddings; 0 where they are left to training."""
        if self._task.text not in DTYPES:
            return 0
        length = int(self._opened.pipeline.tokenizer.model_max_length)
        width = int(self._opened.pipeline.text_encoder.config.hidden_size)
        return length * (width * DTYPES[self._task.text].itemsize + 1)

    def _batch(self, index: int) -> Batch:
        """Return a batch of the source; one after another they are loaded ahead."""
        if index != self._next:
            self._loader = batches(
                self._opened.source, self._task.batch, start=index, workers=self._task.workers
            )
        self._next = index + 1
        return next(self._loader)

    @torch.no_grad()
    def _moments(self, images: torch.Tensor) -> torch.Tensor:
        with autocast(self._task.precision, self._opened.device):
            return moments(self._opened.pipeline.vae, images)

    def _text(self, captions: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        encoded = self._encoding(captions)
        hidden = encoded.hidden.to(DTYPES[self._task.text]).cpu()
        self._check(hidden, "the text encoder", captions)
        return hidden, encoded.mask.to("cpu", torch.uint8)

    def _check(self, tensor: torch.Tensor, encoder: str, captions: Sequence[str]) -> None:
        if not tensor.isfinite().all():
            row = int((~tensor.isfinite()).flatten(1).any(1).nonzero()[0])
            raise CheckpointError(
                f"{self._task.source}: {encoder} gives numbers that are not finite for "
                f"{captions[row][:64]!r}; try --mixed-precision no and --text float32"
            )
