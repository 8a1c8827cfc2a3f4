"""The judge's accuracy on renders, whose content is known: the ceiling of every score it gives."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from random import Random

import numpy as np

from aptp.data.sample import SampleSource
from aptp.data.scenes.compose import Layout, Mark
from aptp.data.scenes.scene import TIERS
from aptp.data.scenes.source import Scenes
from aptp.data.scenes.vocabulary import ROWS
from aptp.evaluate.detections import Detection, Lettering, Reading
from aptp.evaluate.judge.judge_data import Jumbles, strings
from aptp.evaluate.judge.reader import Judge
from aptp.evaluate.judge.targets import row_of
from aptp.score.intervals import Rate

NEAR = 4.0  # pixels: a detection this close to a thing is of it
GOAL = 0.99  # of every question but these: characters are many to a picture, and words need all of theirs
GOALS = {"letters": 0.97, "word": 0.97}
UNSEEN = 1  # the seed of what the judge is measured on; it learns from others


def examinations(count: int, seed: int = UNSEEN) -> dict[str, SampleSource]:
    """Return the sets to measure on: held-out captions with the vocabulary's words and with strings drawn
    anew, and jumbles.
    """
    words = strings(Random(f"unseen {seed}"), count)
    return {
        "scenes": Scenes("test", seed=seed, shares=dict.fromkeys(TIERS, 1.0)),
        "words": Scenes("test", seed=seed, shares={"word": 1.0}),
        "strings": Scenes("test", seed=seed, shares={"word": 1.0}, words=words),
        "jumbles": Jumbles(words, seed=seed),
    }


def accuracy(judge: Judge, source: SampleSource, count: int) -> dict[str, Rate]:
    """Return the share of questions answered right over the first `count` pictures of `source`.

    `things`: pictures with exactly the things that are there. `shape`, `colour`, `size`: of things.
    `written`: pictures where writing is seen if and only if there is some. `letters`: of characters,
    place by place; `word`: of words, exactly; `word colour` and `row` likewise. `background` and
    `texture`: of pictures.
    """
    samples = [source[i] for i in range(count)]
    found = judge.read(np.stack([sample.image for sample in samples]))
    answers: dict[str, list[float]] = defaultdict(list)
    for sample, reading in zip(samples, found, strict=True):
        layout: Layout = sample.metadata["layout"]
        answers["background"].append(reading.background.colour == layout.background.colour)
        answers["texture"].append(reading.background.texture == layout.background.texture)
        for question, right in (*_things(layout, reading), *_writing(layout, reading)):
            answers[question].append(right)
    return {question: Rate.of(values) for question, values in answers.items()}


def _things(layout: Layout, reading: Reading) -> Iterator[tuple[str, bool]]:
    nearest = [_nearest(mark, reading.detections) for mark in layout.marks]
    yield "things", None not in nearest and len(reading.detections) == len(layout.marks)
    for mark, detection in zip(layout.marks, nearest, strict=True):
        for what in ("shape", "colour", "size"):
            yield what, detection is not None and getattr(detection, what) == getattr(mark, what)


def _nearest(mark: Mark, detections: tuple[Detection, ...]) -> Detection | None:
    close = [it for it in detections if (it.x - mark.x) ** 2 + (it.y - mark.y) ** 2 <= NEAR**2]
    return min(close, key=lambda it: (it.x - mark.x) ** 2 + (it.y - mark.y) ** 2, default=None)


def _writing(layout: Layout, reading: Reading) -> Iterator[tuple[str, bool]]:
    yield "written", (reading.lettering is not None) == bool(layout.word)
    if layout.word:
        found = reading.lettering or Lettering("", "", "")
        text = found.text.ljust(len(layout.word))
        yield from (("letters", a == b) for a, b in zip(text, layout.word, strict=False))
        yield "word", found.text == layout.word
        yield "word colour", found.colour == layout.colour
        yield "row", found.row == ROWS[row_of(layout.y)]


def missed(rates: Mapping[str, Mapping[str, Rate]]) -> list[str]:
    """Return a line for each goal that is not reached, by kind of picture and question."""
    return [
        f"{name}: {question} is {rate.share:.4f}, the goal is {goal}"
        for name, found in rates.items()
        for question, rate in found.items()
        if rate.share < (goal := GOALS.get(question, GOAL))
    ]


def table(rates: Mapping[str, Mapping[str, Rate]]) -> str:
    """Return Markdown: a row per question, a column per kind of picture."""
    questions = list(dict.fromkeys(question for found in rates.values() for question in found))
    rows = [["read right", *rates], ["---"] * (len(rates) + 1)]
    for question in questions:
        found = [each.get(question) for each in rates.values()]
        rows.append([question, *(f"{rate.share:.4f} of {rate.count}" if rate else "" for rate in found)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
