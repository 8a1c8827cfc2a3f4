"""The layout loss: predict the thing that covers each cell of a picture from features of its caption.

Denoising teaches this only indirectly; asked for directly it is learned many times faster. Two learners ask:
the text encoder's, and the UNet's of one of its own features (in the spirit of REPA, Yu et al. 2024, with the
renderer's ground truth in place of a pretrained encoder). The heads that answer are thrown away.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from aptp.data.scenes.compose import Layout
from aptp.data.scenes.letters import ends
from aptp.data.scenes.vocabulary import COLOURS, GROUNDS, LETTERS, SHAPES, SIDE, SIZES, TEXTURES, WRITTEN

CELLS = 8  # along one side
UNASKED = -1  # where a question has no answer: the colour of a thing where there is none

# What is asked of every cell, and how many answers there are.
QUESTIONS = {
    "cover": len(SHAPES) + 2,  # nothing, a shape, or letters
    "colour": len(COLOURS),
    "size": len(SIZES),
    "word": len(WRITTEN),
    "ground": len(GROUNDS),
    "texture": len(TEXTURES),
    "letter": len(LETTERS),
}
LETTERED = len(SHAPES) + 1  # the cover of a cell with letters
HALF_LINE = 9.0  # half the height of a line of letters, in pixels

Answers = dict[str, torch.Tensor]  # question: int64 [B, CELLS, CELLS]


def answers(layouts: Sequence[Layout]) -> Answers:
    maps = [_answers(layout) for layout in layouts]
    return {question: torch.stack([one[question] for one in maps]) for question in QUESTIONS}


def _answers(layout: Layout) -> Answers:
    cells = {question: torch.full((CELLS, CELLS), UNASKED) for question in QUESTIONS}
    cells["cover"].fill_(0)
    cells["ground"].fill_(list(GROUNDS).index(layout.background.colour))
    cells["texture"].fill_(TEXTURES.index(layout.background.texture))
    centres = (torch.arange(CELLS) + 0.5) * SIDE / CELLS
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    for mark in layout.marks:
        covered = (x - mark.x).square() + (y - mark.y).square() <= SIZES[mark.size] ** 2
        cells["cover"][covered] = SHAPES.index(mark.shape) + 1
        cells["colour"][covered] = list(COLOURS).index(mark.colour)
        cells["size"][covered] = list(SIZES).index(mark.size)
    if layout.word:
        starts = layout.x - ends(layout.word)[-1] / 2 + torch.tensor(ends(layout.word))
        letter = torch.bucketize(x.contiguous(), starts) - 1  # of the word
        covered = (letter >= 0) & (letter < len(layout.word)) & ((y - layout.y).abs() <= HALF_LINE)
        spelled = torch.tensor([LETTERS.index(one) for one in layout.word])
        cells["cover"][covered] = LETTERED
        cells["colour"][covered] = list(COLOURS).index(layout.colour)
        cells["word"][covered] = WRITTEN.index(layout.word)
        cells["letter"][covered] = spelled[letter[covered]]
    return cells


class LayoutHead(nn.Module):
    """A linear head that predicts the answers from a feature, cell by cell."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, sum(QUESTIONS.values()))

    def loss(self, features: torch.Tensor, right: Answers) -> torch.Tensor:
        """Return the mean cross-entropy over the questions, of `features` [B, CELLS, CELLS, width]."""
        logits = self.linear(features).float().split(list(QUESTIONS.values()), dim=-1)
        losses = []
        for question, scores in zip(QUESTIONS, logits, strict=True):
            answer = right[question].to(scores.device).flatten()
            total = functional.cross_entropy(
                scores.flatten(0, 2), answer, ignore_index=UNASKED, reduction="sum"
            )
            losses.append(total / (answer != UNASKED).sum().clamp(min=1))
        return torch.stack(losses).mean()
