"""The models of a checkpoint that are evaluated: its dense UNet, its experts, the mixture of them, and two
upper bounds.

Refuses pipelines with more than one text encoder.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch

from aptp.checkpoint.reader import Checkpoint
from aptp.data.sample import Sample
from aptp.evaluate.detections import Pictures
from aptp.evaluate.routing import routes
from aptp.evaluate.sampling import Parts, SamplingOptions, sample
from aptp.model.encoding import Encode, TextEncoding
from runtime.errors import CheckpointError, UsageError, nearest
from runtime.formats import DENSE

MIXED, RENDER, VAE = "mixed", "render", "vae"
Progress = Callable[[int], None]  # told how many more pictures are there


class Subjects:
    """A checkpoint's subjects by name: `dense`, `0` … (experts), `mixed` (each caption by the expert
    it is routed to), `render` (the picture a caption was made for, or of) and `vae` (that, encoded and
    decoded).

    Raises CheckpointError for a checkpoint of another kind.
    """

    def __init__(self, checkpoint: Checkpoint, settings: SamplingOptions) -> None:
        self.checkpoint = checkpoint
        self._settings = replace(settings, size=checkpoint.record.size)
        if checkpoint.pipeline != "StableDiffusionPipeline":
            raise CheckpointError(
                f"{checkpoint.path} is a {checkpoint.pipeline}; pictures are drawn by pipelines with one "
                "text encoder"
            )

    @property
    def names(self) -> tuple[str, ...]:
        experts = (str(i) for i in range(len(self.checkpoint.record.codes)))
        return (DENSE, MIXED, *experts, RENDER, VAE)

    def chosen(self, text: str) -> list[str]:
        """Return the subjects of a comma-separated list. Raises UsageError for others."""
        chosen = list(dict.fromkeys(name.strip() for name in text.split(",")))
        for name in chosen:
            if name not in self.names:
                known = ", ".join(self.names)
                raise UsageError(f"--codes: no '{name}'{nearest(name, self.names)}; there is {known}")
        return chosen

    @property
    def device(self) -> torch.device:
        """Where the networks run."""
        return self._settings.device

    @cached_property
    def parts(self) -> Parts:
        """The pipeline without its UNet."""
        return Parts.of(self.checkpoint, self._settings.device)

    def timed(
        self, name: str, samples: Sequence[Sample], progress: Callable[[str, int], None]
    ) -> tuple[Pictures, float]:
        """Return what `draw` gives, and the seconds it took; `progress` is told `name` and how many pictures
        are there.
        """
        start, done = time.monotonic(), 0

        def drawn(count: int) -> None:
            nonlocal done
            done += count
            progress(name, done)

        return self.draw(name, samples, drawn), time.monotonic() - start

    def draw(self, name: str, samples: Sequence[Sample], progress: Progress = lambda n: None) -> Pictures:
        """Draw the subject's picture for each caption."""
        renders = np.stack([each.image for each in samples])
        if name == RENDER:
            return renders
        if name == VAE:
            return self._reconstructed(renders, progress)
        captions = [each.caption for each in samples]
        experts = map(str, self.codes(captions)) if name == MIXED else [name] * len(captions)
        drawn = np.empty((len(captions), *self._settings.size, 3), np.uint8)
        by_expert = np.array(list(experts))
        for expert in sorted(set(by_expert)):
            numbers = np.flatnonzero(by_expert == expert).tolist()
            drawn[numbers] = sample(
                self.parts.with_unet(self.checkpoint.expert(expert).to(self._settings.device)),
                [captions[number] for number in numbers],
                self._settings,
                numbers=numbers,
                progress=progress,
            )
        return drawn

    def codes(self, captions: Sequence[str]) -> list[int]:
        """Return where each caption is routed, alone."""
        return routes(self.checkpoint.router(), self.encode, captions)

    @cached_property
    def encode(self) -> Encode:
        """The encoder of captions that are to be routed."""
        own = self.checkpoint.prompt_encoder()
        if own is not None:
            return own.to(self._settings.device)
        return TextEncoding(self.parts.tokenizer, self.parts.text_encoder)

    def _reconstructed(self, renders: Pictures, progress: Progress) -> Pictures:
        drawn = []
        for start in range(0, len(renders), self._settings.batch):
            some = torch.from_numpy(renders[start : start + self._settings.batch]).to(self._settings.device)
            with torch.inference_mode():
                latents = self.parts.vae.encode(some.permute(0, 3, 1, 2) / 127.5 - 1).latent_dist.mean
                images = self.parts.vae.decode(latents).sample.nan_to_num(-1, -1, -1)
            pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().byte()
            drawn.append(pixels.permute(0, 2, 3, 1).cpu().numpy())
            progress(len(some))
        return np.concatenate(drawn)
