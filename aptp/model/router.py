"""The router as inference sees it: no noise, no dependence on the rest of the batch.

Masked mean of the prompt embedding → one linear map → cosine with each code (the method's predictor and
code table, noise-free). The caller takes the largest similarity; near-ties go to the lower code.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TIE = 1e-5  # similarities closer than this are equal


class Router(nn.Module):
    """The router.

    `weight` [D, E] and `bias` [D]: the architecture predictor; `codes` [K, D]: the code table.
    """

    kind = "cosine"  # in a checkpoint's index

    def __init__(self, width: int, size: int, codes: int) -> None:
        super().__init__()
        self.predictor = nn.Linear(width, size)
        self.codes = nn.Parameter(torch.zeros(codes, size))

    def forward(self, embedding: Tensor, attention_mask: Tensor) -> Tensor:
        """Map token embeddings [B, T, E] and their mask [B, T] (1: a token, 0: padding) to similarities [B,
        K] in [−1, 1].
        """
        mask = attention_mask.to(embedding.dtype).unsqueeze(-1)
        # No division by zero: a prompt has at least its begin and end tokens.
        pooled = (embedding * mask).sum(1) / mask.sum(1)  # [B, E]
        return F.normalize(self.compared(pooled), dim=-1) @ F.normalize(self.codes, dim=-1).T

    def check(self) -> None:
        """Raise ValueError where its tensors, read from a file, cannot be those of a router."""
        for name, tensor in self.state_dict().items():
            if not tensor.isfinite().all():
                raise ValueError(f"{name} holds values that are not finite")

    def compared(self, pooled: Tensor) -> Tensor:
        """Return the vectors that codes are compared with [B, D], from averaged prompts [B, E]."""
        scores: Tensor = self.predictor(pooled)
        return scores

    def route(self, embedding: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the code [B] of each prompt: the nearest, of several within TIE the lowest."""
        similarities = self(embedding, attention_mask)
        nearest: Tensor = similarities >= similarities.amax(1, keepdim=True) - TIE
        return nearest.int().argmax(1)
