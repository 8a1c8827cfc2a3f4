"""Scenes at random, and for each scene one of the many pictures that show it."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from aptp.data.scenes.scene import Background, Scene, Thing
from aptp.data.scenes.vocabulary import (
    COLOURS,
    COUNTS,
    GROUNDS,
    PLACES,
    RELATIONS,
    ROWS,
    SHAPES,
    SIDE,
    SIZES,
    TEXTURES,
    WRITTEN,
)

# How often a caption states what it could leave open.
SIZE_STATED, PLACE_STATED, BACKGROUND_STATED = 0.6, 0.7, 0.5

MARGIN = 1  # pixels between a thing and the edge of the image
JITTER = 3  # pixels a thing may lie off the middle of its place
WORD_JITTER = 1  # the same for words, which fill more of the image
WORD_ROWS = (13, 32, 49)  # where the middle of a word lies, so that nothing of a letter is cut off


@dataclass(frozen=True, slots=True)
class Mark:
    """A placed thing: its centre, in pixels from the top left."""

    shape: str
    colour: str
    size: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Layout:
    """A picture before rendering: every position and size is decided. The word's centre is (`x`, `y`)."""

    background: Background
    marks: tuple[Mark, ...] = ()
    word: str = ""
    colour: str = ""
    x: float = SIDE / 2
    y: float = SIDE / 2


def compose(rng: Random, tier: str, words: Sequence[str] = WRITTEN) -> Scene:
    """Compose a scene of `tier`; what is written is drawn from `words`."""
    background = _background(rng) if rng.random() < BACKGROUND_STATED else None
    colours = list(COLOURS)
    if tier == "word":
        place = rng.choice(ROWS) if rng.random() < PLACE_STATED else None
        return Scene(
            tier, word=rng.choice(words), colour=rng.choice(colours), place=place, background=background
        )
    if tier == "count":
        thing = Thing(rng.choice(SHAPES), rng.choice(colours))
        return Scene(tier, (thing,), count=rng.choice(list(COUNTS)), background=background)
    if tier == "pair":
        first = second = _thing(rng)
        while (second.shape, second.colour) == (first.shape, first.colour):
            second = _thing(rng)
        return Scene(tier, (first, second), relation=rng.choice(list(RELATIONS)), background=background)
    place = rng.choice(list(PLACES)) if rng.random() < PLACE_STATED else None
    return Scene(tier, (_thing(rng),), place=place, background=background)


def arrange(rng: Random, scene: Scene) -> Layout:
    """Arrange a picture of `scene`: what its caption leaves open is drawn at random."""
    background = scene.background or _background(rng)
    if scene.tier == "word":
        assert scene.word
        assert scene.colour
        row = ROWS.index(scene.place) if scene.place else rng.randrange(3)
        x, y = (at + rng.uniform(-1, 1) * WORD_JITTER for at in (SIDE / 2, WORD_ROWS[row]))
        return Layout(background, word=scene.word, colour=scene.colour, x=x, y=y)
    arranged = {"single": _one, "count": _several, "pair": _two}[scene.tier](rng, scene)
    return Layout(background, tuple(arranged))


def _one(rng: Random, scene: Scene) -> list[Mark]:
    column, row = PLACES[scene.place] if scene.place else (rng.randrange(3), rng.randrange(3))
    return [_mark(rng, scene.things[0], _size(rng, scene.things[0]), _middle(column), _middle(row))]


def _several(rng: Random, scene: Scene) -> list[Mark]:
    """Place several things, all of one size, small or medium, in different quarters of the image."""
    size = rng.choice(("small", "medium"))
    quarters = rng.sample([(x, y) for x in (0.27, 0.73) for y in (0.27, 0.73)], scene.count)
    return [_mark(rng, scene.things[0], size, x * SIDE, y * SIDE) for x, y in quarters]


def _two(rng: Random, scene: Scene) -> list[Mark]:
    """Place two things in opposite halves of the image, a little off the line between them."""
    assert scene.relation
    side_by_side, in_order = RELATIONS[scene.relation]
    marks = []
    for thing, along in zip(scene.things, (0.26, 0.74) if in_order else (0.74, 0.26), strict=True):
        across = 0.5 + rng.uniform(-0.1, 0.1)
        x, y = (along, across) if side_by_side else (across, along)
        marks.append(_mark(rng, thing, _size(rng, thing), x * SIDE, y * SIDE))
    return marks


def _mark(rng: Random, thing: Thing, size: str, x: float, y: float) -> Mark:
    """Place a thing at (x, y) or a little off it, but within the image."""
    low = SIZES[size] + MARGIN
    x, y = (min(max(at + rng.uniform(-JITTER, JITTER), low), SIDE - low) for at in (x, y))
    return Mark(thing.shape, thing.colour, size, x, y)


def _thing(rng: Random) -> Thing:
    size = rng.choice(list(SIZES)) if rng.random() < SIZE_STATED else None
    return Thing(rng.choice(SHAPES), rng.choice(list(COLOURS)), size)


def _size(rng: Random, thing: Thing) -> str:
    return thing.size or rng.choice(list(SIZES))


def _background(rng: Random) -> Background:
    return Background(rng.choice(list(GROUNDS)), rng.choice(TEXTURES))


def _middle(third: int) -> float:
    """Return the middle of the first, second or third third of the image."""
    return (third + 0.5) * SIDE / 3
