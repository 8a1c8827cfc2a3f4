"""Looks at a run that goes on, which change nothing of it: the held-out loss, and pictures."""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from aptp.data.batches import Batch, batches
from aptp.data.sample import SampleSource
from aptp.trainer import distributed
from aptp.trainer.learner import Learner
from aptp.trainer.recipe import Recipe
from aptp.trainer.rng import draws
from runtime.errors import StorageError
from runtime.files.publish import write_file

ROWS = 256  # held-out samples the loss is the mean of, in whole batches
DRAWN = 4  # captions a learner is given to draw
FOLDER = "pictures"
BEFORE = -1  # the step of validation's random numbers, which no step of a training has


class Validation:
    """The validation of a run on `source`, of held-out samples, in batches as the recipe's.

    The same rows, timesteps and noise every time, from random numbers that training does not draw.
    """

    def __init__(self, source: SampleSource, recipe: Recipe, rows: range) -> None:
        """`rows`: this process's of every batch."""
        self._source, self._recipe, self._rows = source, recipe, rows

    @torch.no_grad()
    def figures(self, learner: Learner, step: int) -> dict[str, float]:
        """Return the terms of the loss, averaged, by `validation.<term>`."""
        found: dict[str, list[float]] = {}
        for number, batch in enumerate(self._batches()):
            drawn = draws(self._recipe.seed, BEFORE - number, self._rows, self._recipe.batch)
            for name, value in distributed.mean(learner(batch, step, drawn)).items():
                found.setdefault(f"validation.{name}", []).append(value)
        return {name: sum(values) / len(values) for name, values in found.items()}

    def _batches(self) -> Iterator[Batch]:
        share = (distributed.rank(), distributed.count())
        count = max(1, ROWS // self._recipe.batch)
        return islice(batches(self._source, len(self._rows), share=share), count)

    @torch.no_grad()
    def pictures(self, learner: Learner) -> tuple[list[str], npt.NDArray[np.uint8]] | None:
        """Return held-out captions and what `learner` draws for them, [N, H, W, 3]; None where it cannot."""
        turns = learner.drawers
        captions = [self._source[turn + turns * i].caption for turn in range(turns) for i in range(DRAWN)]
        return (captions, learner.draw(captions)) if captions else None


def keep(folder: Path, step: int, captions: Sequence[str], pictures: npt.NDArray[np.uint8]) -> None:
    """Write the pictures drawn after `step` steps as one sheet, and the captions beside it.

    Raises StorageError.
    """
    count, height, width, _ = pictures.shape
    rows = -(-count // DRAWN)
    sheet = np.zeros((rows * height, DRAWN * width, 3), np.uint8)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, DRAWN)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = picture
    place = folder / FOLDER
    try:
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sheet).save(place / f"step-{step:07}.png")
        write_file(place / "captions.json", json.dumps(list(captions), indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise StorageError(f"pictures cannot be written to {place}: {error}") from error
