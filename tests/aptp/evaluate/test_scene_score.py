"""The score of a scene: the truth always counts as shown, each single fault never does."""

from dataclasses import replace

import pytest

from aptp.data.scenes.scene import TIERS, Background, Scene, Thing
from aptp.data.scenes.source import Scenes
from aptp.data.scenes.vocabulary import ROWS
from aptp.evaluate.detections import Detection, Lettering, Reading
from aptp.evaluate.judge.targets import row_of
from aptp.evaluate.scene_score import binding, score

PLAIN = Background("white", "plain")
CIRCLE = Detection("circle", "red", "small", 16, 32)
SQUARE = Detection("square", "blue", "large", 48, 32)
PAIR = Scene("pair", (Thing("circle", "red"), Thing("square", "blue", "large")), relation="left of")


def truth(layout):
    """The reading of a judge that makes no mistakes."""
    lettering = Lettering(layout.word, layout.colour, ROWS[row_of(layout.y)]) if layout.word else None
    detections = (Detection(mark.shape, mark.colour, mark.size, mark.x, mark.y) for mark in layout.marks)
    return Reading(layout.background, tuple(detections), lettering)


def seen(*detections, lettering=None, background=PLAIN):
    return Reading(background, detections, lettering)


@pytest.mark.parametrize("tier", TIERS)
def test_every_render_shows_its_caption(tier):
    scenes = Scenes("test", shares={tier: 1.0})
    for i in range(300):
        metadata = scenes[i].metadata
        shown = score(metadata["scene"], truth(metadata["layout"]))
        assert set(shown.values()) == {1.0}, (metadata, shown)


@pytest.mark.parametrize("tier", TIERS)
def test_pictures_of_nothing_and_of_everything_show_nothing_stated(tier):
    scenes = Scenes("test", shares={tier: 1.0})
    crowd = [Detection("ring", "pink", "small", 4.0 * x, 4.0 * y) for x in range(16) for y in range(16)]
    for i in range(50):
        scene = scenes[i].metadata["scene"]
        for reading in (
            seen(),
            seen(*crowd, lettering=Lettering("", "pink", "at the top")),
            seen(lettering=Lettering("zzzzzzzzzzzzzzzz", "red", "at the top")),
        ):
            assert score(scene, reading)["all"] == 0


def test_only_what_is_stated_is_asked():
    assert set(score(Scene("single", (Thing("star", "red"),)), seen())) == {"shape", "colour", "all"}
    stated = Scene("single", (Thing("star", "red", "small"),), place="at the top", background=PLAIN)
    assert set(score(stated, seen())) == {
        *("shape", "colour", "size", "position", "background", "texture", "all"),
    }


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        ({"shape": "ring"}, {"shape"}),
        ({"colour": "pink"}, {"colour"}),
        ({"size": "large"}, {"size"}),
        ({"x": 32.0}, {"position"}),
        ({"y": 60.0}, {"position"}),
    ],
)
def test_a_single_thing_loses_what_is_wrong(change, lost):
    scene = Scene("single", (Thing("circle", "red", "small"),), place="at the left")
    shown = score(scene, seen(replace(CIRCLE, **change)))
    assert {name for name, value in shown.items() if not value} == {*lost, "all"}


def test_two_things_are_not_a_single_one():
    shown = score(Scene("single", (Thing("circle", "red"),)), seen(CIRCLE, SQUARE))
    assert set(shown.values()) == {0}


def test_counted_things_have_to_be_all_right_and_all_there():
    scene = Scene("count", (Thing("circle", "red"),), count=3)
    three = [replace(CIRCLE, x=x) for x in (10, 30, 50)]
    assert score(scene, seen(*three))["all"] == 1
    assert score(scene, seen(*three[:2])) == {"count": 0, "shape": 1, "colour": 1, "all": 0}
    odd = [*three[:2], replace(three[2], colour="pink")]
    assert score(scene, seen(*odd)) == {"count": 1, "shape": 1, "colour": 0, "all": 0}


@pytest.mark.parametrize(
    ("relation", "first", "second"),
    [
        ("left of", (16, 32), (48, 32)),
        ("right of", (48, 30), (16, 32)),
        ("above", (30, 16), (32, 48)),
        ("below", (32, 48), (30, 16)),
    ],
)
def test_the_first_thing_of_a_pair_is_where_the_relation_puts_it(relation, first, second):
    scene = replace(PAIR, relation=relation)
    one, other = (replace(each, x=x, y=y) for each, (x, y) in ((CIRCLE, first), (SQUARE, second)))
    for order in ((one, other), (other, one)):  # detections come in any order
        assert score(scene, seen(*order))["all"] == 1
    swapped = score(scene, seen(replace(one, x=other.x, y=other.y), replace(other, x=one.x, y=one.y)))
    assert swapped["relation"] == swapped["both"] == swapped["first shape"] == 0


def test_a_pair_along_the_wrong_axis():
    shown = score(PAIR, seen(replace(CIRCLE, x=31, y=16), replace(SQUARE, x=33, y=48)))
    assert (shown["first shape"], shown["second colour"]) == (1, 1)
    assert (shown["relation"], shown["both"], shown["all"]) == (0, 0, 0)


def test_a_pair_with_a_wrong_size_is_both_but_not_all():
    shown = score(PAIR, seen(CIRCLE, replace(SQUARE, size="small")))
    assert (shown["both"], shown["second size"], shown["all"]) == (1, 0, 0)


def test_things_that_look_alike_show_no_relation():
    shown = score(PAIR, seen(CIRCLE, replace(CIRCLE, x=48)))
    assert (shown["first shape"], shown["second shape"], shown["relation"]) == (1, 0, 0)


@pytest.mark.parametrize("found", [(CIRCLE,), (CIRCLE, SQUARE, replace(CIRCLE, y=60))])
def test_a_pair_is_two_things(found):
    assert set(score(PAIR, seen(*found)).values()) == {0}


@pytest.mark.parametrize(
    ("text", "letters"), [("moon", 1), ("moan", 0.75), ("moons", 0.8), ("mo", 0.5), ("", 0), ("noom", 0.5)]
)
def test_letters_are_right_in_their_places(text, letters):
    scene = Scene("word", word="moon", colour="red", place="in the middle")
    shown = score(scene, seen(lettering=Lettering(text, "red", "in the middle")))
    assert shown["letters"] == pytest.approx(letters)
    assert shown["word"] == shown["all"] == (text == "moon")
    assert (shown["colour"], shown["row"]) == (1, 1)


def test_what_was_not_asked_for_is_not_all():
    lettering = Lettering("moon", "red", "at the top")
    assert score(Scene("word", word="moon", colour="red"), seen(CIRCLE, lettering=lettering))["all"] == 0
    assert score(Scene("single", (Thing("circle", "red"),)), seen(CIRCLE, lettering=lettering))["all"] == 0


def test_a_background_is_a_colour_and_a_texture():
    scene = Scene("single", (Thing("circle", "red"),), background=Background("white", "dotted"))
    shown = score(scene, seen(CIRCLE))
    assert (shown["background"], shown["texture"], shown["all"]) == (1, 0, 0)


@pytest.mark.parametrize(
    ("found", "colour", "shape"),
    [
        ((CIRCLE, SQUARE), "right", "right"),
        ((replace(CIRCLE, colour="blue"), replace(SQUARE, colour="red")), "swapped", "right"),
        ((replace(CIRCLE, x=48), replace(SQUARE, x=16)), "swapped", "swapped"),
        ((CIRCLE, replace(SQUARE, colour="red")), "other", "right"),
        ((CIRCLE,), "other", "other"),
    ],
)
def test_binding_tells_swapped_from_wrong(found, colour, shape):
    assert binding(PAIR, seen(*found)) == {"colour": colour, "shape": shape}


def test_binding_asks_only_where_a_pair_differs():
    alike = Scene("pair", (Thing("circle", "red"), Thing("circle", "blue")), relation="above")
    assert set(binding(alike, seen())) == {"colour"}
    assert binding(Scene("single", (Thing("circle", "red"),)), seen(CIRCLE)) == {}
