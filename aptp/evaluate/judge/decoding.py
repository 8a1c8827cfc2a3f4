"""Decoding of the judge network's logits to detections."""

from itertools import groupby

import torch
from torch import Tensor
from torch.nn import functional as F

from aptp.data.scenes.scene import Background
from aptp.data.scenes.vocabulary import COLOURS, GROUNDS, LETTERS, ROWS, SHAPES, SIZES, TEXTURES
from aptp.evaluate.detections import Detection, Lettering, Reading
from aptp.evaluate.judge.network import BLANK, CELL, Outputs


def readings(outputs: Outputs) -> list[Reading]:
    """Return one reading per picture. Whatever the picture, there is a reading."""
    return [
        Reading(
            Background(
                _choice(list(GROUNDS), outputs.ground["colour"][i]),
                _choice(TEXTURES, outputs.ground["texture"][i]),
            ),
            _detections(outputs.centre[i], {name: logits[i] for name, logits in outputs.things.items()}),
            _lettering(outputs, i) if outputs.word["present"][i] > 0 else None,
        )
        for i in range(len(outputs.centre))
    ]


def _detections(centre: Tensor, things: dict[str, Tensor]) -> tuple[Detection, ...]:
    """Return a thing wherever a cell is likelier a centre than not, and none of the eight around it is
    likelier.
    """
    found = []
    for row, column in _peaks(centre):
        x, y = _middle(centre.sigmoid(), row, column)
        shape, colour, size = (
            _choice(names, things[name][:, row, column])
            for name, names in (("shape", SHAPES), ("colour", list(COLOURS)), ("size", list(SIZES)))
        )
        found.append(Detection(shape, colour, size, x, y))
    return tuple(found)


def _peaks(centre: Tensor) -> list[tuple[int, int]]:
    """Return the local maxima above 0 of [16, 16]; of neighbours that are equal, the first."""
    highest = F.max_pool2d(centre[None, None], 3, stride=1, padding=1)[0, 0]
    peaks: list[tuple[int, int]] = []
    for row, column in ((centre > 0) & (centre == highest)).nonzero().tolist():
        if all(max(abs(row - other), abs(column - another)) > 1 for other, another in peaks):
            peaks.append((row, column))
    return peaks


def _middle(centre: Tensor, row: int, column: int) -> tuple[float, float]:
    """Return the centre of mass of the bump's nine cells, in pixels: finer than the grid."""
    around = F.pad(centre, (1, 1, 1, 1))[row : row + 3, column : column + 3]
    steps = torch.tensor([-1.0, 0.0, 1.0])
    x = float((around.sum(0) * steps).sum() / around.sum())
    y = float((around.sum(1) * steps).sum() / around.sum())
    return (column + 0.5 + x) * CELL, (row + 0.5 + y) * CELL


def _lettering(outputs: Outputs, i: int) -> Lettering:
    return Lettering(
        _text(outputs.letters[i].softmax(-1)),
        _choice(list(COLOURS), outputs.word["colour"][i]),
        _choice(ROWS, outputs.word["row"][i]),
    )


def _text(chances: Tensor) -> str:
    """Return a letter for each run of columns [64, 27] that are likelier a letter than none: the run's
    likeliest, whichever single columns prefer.
    """
    runs = groupby(chances.unbind(), key=lambda column: bool(column[BLANK] < 0.5))
    letters = [torch.stack(list(run))[:, :BLANK].sum(0).argmax() for inked, run in runs if inked]
    return "".join(LETTERS[int(letter)] for letter in letters)


def _choice(names: list[str] | tuple[str, ...], logits: Tensor) -> str:
    return names[int(logits.argmax())]
