"""The judge's training data: scenes with letters at random, and jumbles that follow none of their rules.

In scenes, things that are counted are all alike and no picture holds both things and a word. A judge that
learned this would see alike what a poor generator drew unlike. In jumbles every thing is drawn for itself,
anywhere.
"""

from collections.abc import Sequence
from random import Random

from aptp.data.sample import Sample, SampleSource
from aptp.data.scenes.compose import MARGIN, WORD_ROWS, Layout, Mark
from aptp.data.scenes.letters import ends
from aptp.data.scenes.render import LETTER_HEIGHT, render
from aptp.data.scenes.scene import Background
from aptp.data.scenes.source import Scenes
from aptp.data.scenes.vocabulary import COLOURS, GROUNDS, LETTERS, MAX_LETTERS, SHAPES, SIDE, SIZES, TEXTURES

MIN_LETTERS = 3
SPACE = SIDE - 4  # pixels a string may take, so that all its letters are in the picture
NARROW = "fijlrt"  # the letters that are hardest to tell from each other, and from nothing
_WEIGHTS = [2 if letter in NARROW else 1 for letter in LETTERS]
STRINGS = 50_000  # as many words as a stream draws from

SHARES = {"single": 0.15, "count": 0.15, "pair": 0.1, "word": 0.6}  # letters take longest to learn
MAX_THINGS = 4
WITH_WORD = 0.5  # share of jumbles
APART = 1.2  # times the sum of two radii: things closer than this may touch
TRIES = 20  # for a free place


class Jumbles:
    """A Source of pictures with anything anywhere; the metadata holds the Layout, and there is no caption."""

    def __init__(self, words: Sequence[str], *, seed: int = 0) -> None:
        self._words, self._seed = words, seed

    def __getitem__(self, position: int) -> Sample:
        layout = jumble(Random(f"jumble {self._seed} {position}"), self._words)
        return Sample("", render(layout), {"layout": layout})


class JudgeSamples:
    """A Source: scenes at even positions, jumbles at odd ones, with the same strings written."""

    def __init__(self, *, seed: int = 0) -> None:
        words = strings(Random(f"strings {seed}"), STRINGS)
        self._halves: tuple[SampleSource, SampleSource] = (
            Scenes("train", seed=seed, shares=SHARES, words=words),
            Jumbles(words, seed=seed),
        )

    def __getitem__(self, position: int) -> Sample:
        return self._halves[position % 2][position // 2]


def strings(rng: Random, count: int) -> list[str]:
    """Draw `count` strings of three to five letters that fit into the picture, narrow ones twice as often."""
    found: list[str] = []
    while len(found) < count:
        string = "".join(rng.choices(LETTERS, _WEIGHTS, k=rng.randint(MIN_LETTERS, MAX_LETTERS)))
        if ends(string)[-1] <= SPACE:
            found.append(string)
    return found


def jumble(rng: Random, words: Sequence[str]) -> Layout:
    """Draw up to four independent things, and sometimes a word; none touches another."""
    background = Background(rng.choice(list(GROUNDS)), rng.choice(TEXTURES))
    colours = list(COLOURS)
    word, y = "", SIDE / 2
    if rng.random() < WITH_WORD:
        word, y = rng.choice(words), rng.choice(WORD_ROWS) + rng.uniform(-2, 2)
    marks: list[Mark] = []
    for _ in range(rng.randint(0, MAX_THINGS)):
        shape, colour, size = rng.choice(SHAPES), rng.choice(colours), rng.choice(list(SIZES))
        for _ in range(TRIES):
            low = SIZES[size] + MARGIN
            mark = Mark(shape, colour, size, rng.uniform(low, SIDE - low), rng.uniform(low, SIDE - low))
            clear_of_word = not word or abs(mark.y - y) > SIZES[size] * APART + LETTER_HEIGHT / 2
            if clear_of_word and all(_apart(mark, other) for other in marks):
                marks.append(mark)
                break
    return Layout(background, tuple(marks), word, rng.choice(colours), SIDE / 2 + rng.uniform(-1, 1), y)


def _apart(one: Mark, other: Mark) -> bool:
    reach = APART * (SIZES[one.size] + SIZES[other.size])
    return (one.x - other.x) ** 2 + (one.y - other.y) ** 2 > reach**2
