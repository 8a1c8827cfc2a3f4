"""The judge's network: from a picture to logits by cell; `decoding` says what the outputs mean.

A thing is found the way a detector finds it: one score per cell of a 16 × 16 grid says whether a thing's
centre is there, and the cell's other outputs say what the thing is. Letters are found the same way along
the line of writing, pixel by pixel of its width, so that no slot has to know where its letter is.
"""

from typing import NamedTuple

from torch import Tensor, nn, split
from torch.nn import functional as F

from aptp.data.scenes.vocabulary import COLOURS, GROUNDS, LETTERS, ROWS, SHAPES, SIDE, SIZES, TEXTURES

CELL = 4  # pixels along one side
GRID = SIDE // CELL
READS = 4  # letter guesses per cell of width
BLANK = len(LETTERS)  # "no letter here"

THING = {"shape": len(SHAPES), "colour": len(COLOURS), "size": len(SIZES)}
WORD = {"present": 1, "colour": len(COLOURS), "row": len(ROWS)}
GROUND = {"colour": len(GROUNDS), "texture": len(TEXTURES)}

FINE, COARSE = 64, 96  # channels at 16 × 16 and 8 × 8


class Outputs(NamedTuple):
    """Logits, by question."""

    centre: Tensor  # [B, 16, 16]
    things: dict[str, Tensor]  # [B, choices, 16, 16] each
    letters: Tensor  # [B, 64, 27]: left to right
    word: dict[str, Tensor]  # [B, choices] each
    ground: dict[str, Tensor]  # [B, choices] each
    features: Tensor  # [B, 96]: the pooled trunk, which the background is read from


class JudgeNetwork(nn.Module):
    """The network from pictures [B, 3, 64, 64] in −1 … 1 to Outputs; 0.7 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.near = nn.Sequential(
            nn.PixelUnshuffle(CELL), _convolution(3 * CELL**2, FINE), ResidualBlock(FINE)
        )
        self.far = nn.Sequential(
            _convolution(FINE, COARSE, stride=2), ResidualBlock(COARSE), ResidualBlock(COARSE)
        )
        self.back = nn.Conv2d(COARSE, FINE, 1)
        self.cells = nn.Sequential(nn.SiLU(), ResidualBlock(FINE))
        self.thing = nn.Conv2d(FINE, 1 + sum(THING.values()), 1)
        self.line = nn.Conv2d(FINE, 1, 1)
        self.columns = nn.Sequential(
            nn.Conv1d(FINE, 2 * FINE, 5, padding=2),
            nn.SiLU(),
            nn.Conv1d(2 * FINE, 2 * FINE, 3, padding=1),
            nn.SiLU(),
            nn.Conv1d(2 * FINE, READS * (BLANK + 1), 1),
        )
        self.word = nn.Linear(len(ROWS) * FINE, sum(WORD.values()))
        self.ground = nn.Linear(COARSE, sum(GROUND.values()))

    def forward(self, pictures: Tensor) -> Outputs:
        near = self.near(pictures)  # [B, 64, 16, 16]
        far = self.far(near)  # [B, 96, 8, 8]
        features = far.mean((2, 3))
        cells = self.cells(near + F.interpolate(self.back(far), scale_factor=2.0))  # [B, 64, 16, 16]
        centre, things = split(self.thing(cells), [1, sum(THING.values())], dim=1)
        thirds = F.adaptive_avg_pool2d(cells, (len(ROWS), 1)).flatten(1)  # [B, 3 · 64]
        return Outputs(
            centre.squeeze(1).float(),
            _by_question(things, THING),
            self._letters(cells),
            _by_question(self.word(thirds), WORD),
            _by_question(self.ground(features), GROUND),
            features.float(),
        )

    def _letters(self, cells: Tensor) -> Tensor:
        """Read each column at the height where the network finds writing."""
        height = self.line(cells).float().softmax(dim=2).to(cells.dtype)  # [B, 1, 16, 16]
        columns: Tensor = self.columns((cells * height).sum(2))  # [B, 4 · 27, 16]
        guesses = columns.reshape(-1, READS, BLANK + 1, GRID).permute(0, 3, 1, 2)  # [B, 16, 4, 27]
        return guesses.reshape(-1, GRID * READS, BLANK + 1).float()


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolution(width, width),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.body(x)
        return F.silu(x + changed)


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.SiLU()
    )


def _by_question(logits: Tensor, choices: dict[str, int]) -> dict[str, Tensor]:
    """Split dimension 1 into one tensor per question."""
    return dict(zip(choices, split(logits.float(), list(choices.values()), dim=1), strict=True))
