"""The pretraining of the default's text encoder on layouts, before the UNet is trained."""

from typing import Any

import torch
from torch import nn

from aptp.data.batches import Batch
from aptp.model.encoding import TextEncoding
from aptp.pretrain.layout_loss import CELLS, LayoutHead, answers
from aptp.trainer.learner import Learner
from aptp.trainer.recipe import Recipe
from aptp.trainer.rng import Draws

RECIPE = Recipe(steps=2000, batch=128, rate=1e-3, warmup=100, decay=1000)

HEADS = 4


class TextLearner(Learner):
    """The learner of a text encoder whose hidden states a single attention layer must be able to lay out in
    space.

    One layer, because the UNet's cross-attention is one: what it must bind has to be bound in the text.
    """

    def __init__(self, tokenizer: Any, encoder: Any) -> None:
        super().__init__()
        width = encoder.config.hidden_size
        self.encoder = encoder
        self.text = TextEncoding(tokenizer, encoder)
        self.places = nn.Parameter(torch.randn(CELLS * CELLS, width) * width**-0.5)
        self.reader = nn.TransformerDecoderLayer(
            width, HEADS, 2 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.head = LayoutHead(width)

    def forward(self, batch: Batch, step: int, draws: Draws) -> dict[str, torch.Tensor]:
        hidden = self.text(batch.captions).hidden  # [B, T, E]
        places = self.places.expand(len(batch.captions), -1, -1)
        read = self.reader(places, hidden).unflatten(1, (CELLS, CELLS))
        return {"loss": self.head.loss(read, answers([sample["layout"] for sample in batch.metadata]))}
