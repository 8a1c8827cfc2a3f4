"""Prompts as a checkpoint's router reads them: pooled embeddings, of lists and of sources."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from aptp.checkpoint.reader import Checkpoint
from aptp.model.encoding import Encode, TextEncoding
from aptp.train.prompts import AT_ONCE, pooled
from runtime.errors import CheckpointError

CPU = torch.device("cpu")
Progress = Callable[[int, int], None]  # told how many prompts are read, of how many


class Reader:
    """The encoder that a checkpoint's router reads, on a device, with its weights rounded as bundles store
    them.

    Raises CheckpointError for a pipeline that has several text encoders.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device = CPU) -> None:
        if checkpoint.pipeline != "StableDiffusionPipeline":
            raise CheckpointError(
                f"{checkpoint.path} is a {checkpoint.pipeline}; prompts are read by pipelines with one text "
                "encoder"
            )
        own = checkpoint.prompt_encoder()
        self._encode: Encode = _text(checkpoint, device) if own is None else own.to(device)

    @torch.no_grad()
    def __call__(self, prompts: Sequence[str], progress: Progress = lambda done, total: None) -> Tensor:
        """Return the embedding of each prompt, averaged over its own tokens: [N, E] float32."""
        parts = []
        for start in range(0, len(prompts), AT_ONCE):
            parts.append(pooled(self._encode(list(prompts[start : start + AT_ONCE]))).float().cpu())
            progress(min(start + AT_ONCE, len(prompts)), len(prompts))
        return torch.cat(parts)


def _text(checkpoint: Checkpoint, device: torch.device) -> TextEncoding:
    checkpoint.verify("tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(checkpoint.path / "tokenizer", local_files_only=True)
    return TextEncoding(tokenizer, checkpoint.text_encoder(torch.float16).float().to(device))
