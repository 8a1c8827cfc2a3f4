"""A scene as its caption states it, and the caption.

What a caption leaves open is None here: a picture may show it in any way and still be right.
"""

from dataclasses import dataclass

from aptp.data.scenes.vocabulary import COUNTS, PLURALS

TIERS = ("single", "count", "pair", "word")


@dataclass(frozen=True, slots=True)
class Thing:
    shape: str
    colour: str
    size: str | None = None


@dataclass(frozen=True, slots=True)
class Background:
    colour: str
    texture: str


@dataclass(frozen=True, slots=True)
class Scene:
    """A scene of one of four tiers.

    `single`: one thing, maybe at a `place`. `count`: `count` times the same thing. `pair`: the
    first thing in `relation` to the second. `word`: `word` in letters of `colour`, maybe at a
    `place`.
    """

    tier: str
    things: tuple[Thing, ...] = ()
    count: int = 1
    relation: str | None = None
    word: str | None = None
    colour: str | None = None
    place: str | None = None
    background: Background | None = None


def caption(scene: Scene) -> str:
    """Return the scene in English; equal scenes have equal captions, and the reverse."""
    if scene.tier == "word":
        text = f"the word {scene.word} in {scene.colour} letters"
    elif scene.tier == "count":
        text = f"{COUNTS[scene.count]} {_name(scene.things[0], plural=True)}"
    elif scene.tier == "pair":
        first, second = (_noun(thing) for thing in scene.things)
        text = f"{first} {scene.relation} {second}"
    else:
        text = _noun(scene.things[0])
    if scene.place:
        text += f" {scene.place}"
    if scene.background:
        text += f" on {_ground(scene.background)}"
    return text


def _name(thing: Thing, plural: bool = False) -> str:
    shape = PLURALS.get(thing.shape, thing.shape + "s") if plural else thing.shape
    return " ".join(filter(None, (thing.size, thing.colour, shape)))


def _noun(thing: Thing) -> str:
    return _with_article(_name(thing))


def _ground(background: Background) -> str:
    texture = "" if background.texture == "plain" else background.texture + " "
    return _with_article(f"{texture}{background.colour} background")


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
