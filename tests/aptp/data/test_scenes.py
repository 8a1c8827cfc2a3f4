"""Scenes: captions and pictures that agree, splits that share nothing, positions that hold the same."""

from random import Random

import numpy as np
import pytest

from aptp.data.scenes.compose import WORD_JITTER, WORD_ROWS, Layout, Mark, arrange, compose
from aptp.data.scenes.render import render
from aptp.data.scenes.scene import TIERS, Background, Scene, Thing, caption
from aptp.data.scenes.source import HELD_OUT, Scenes, split_of
from aptp.data.scenes.vocabulary import COLOURS, MAX_LETTERS, PLACES, SHAPES, SIDE, SIZES, WRITTEN

PLAIN = Background("white", "plain")


def test_a_position_always_holds_the_same_sample():
    one, other = Scenes(seed=3), Scenes(seed=3)
    for position in (0, 1, 17, 10**9):
        a, b = one[position], other[position]
        assert a.caption == b.caption
        assert np.array_equal(a.image, b.image)


def test_seeds_and_positions_differ():
    captions = {Scenes(seed=seed)[position].caption for seed in range(5) for position in range(20)}
    assert len(captions) > 80


def test_no_caption_is_in_both_splits():
    train = {Scenes("train")[i].caption for i in range(3000)}
    test = {Scenes("test")[i].caption for i in range(1000)}
    assert not train & test
    assert {split_of(text) for text in train} == {"train"}
    assert {split_of(text) for text in test} == {"test"}


def test_the_held_out_share_is_what_it_says():
    rng = Random(0)
    captions = {caption(compose(rng, tier)) for tier in TIERS for _ in range(5000)}
    share = sum(split_of(text) == "test" for text in captions) / len(captions)
    assert share == pytest.approx(HELD_OUT, abs=0.01)


def test_tiers_come_as_often_as_asked():
    scenes = Scenes(shares={"pair": 3, "word": 1})
    tiers = [scenes[i].metadata["scene"].tier for i in range(800)]
    assert set(tiers) == {"pair", "word"}
    assert tiers.count("pair") / 800 == pytest.approx(0.75, abs=0.06)


@pytest.mark.parametrize(
    ("scene", "text"),
    [
        (Scene("single", (Thing("circle", "red", "large"),)), "a large red circle"),
        (
            Scene("single", (Thing("star", "orange"),), place="at the top left"),
            "an orange star at the top left",
        ),
        (
            Scene("count", (Thing("cross", "blue"),), count=3, background=Background("grey", "striped")),
            "three blue crosses on a striped grey background",
        ),
        (
            Scene("pair", (Thing("ring", "pink"), Thing("square", "cyan", "small")), relation="left of"),
            "a pink ring left of a small cyan square",
        ),
        (
            Scene("word", word="cat", colour="green", background=PLAIN),
            "the word cat in green letters on a white background",
        ),
    ],
)
def test_captions_say_what_the_scene_states_and_no_more(scene, text):
    assert caption(scene) == text


def scenes_and_layouts(tier, n=300):
    rng = Random(tier)
    for _ in range(n):
        scene = compose(rng, tier)
        yield scene, arrange(rng, scene)


@pytest.mark.parametrize("tier", TIERS)
def test_everything_lies_within_the_picture(tier):
    for _, layout in scenes_and_layouts(tier):
        for mark in layout.marks:
            assert SIZES[mark.size] <= min(mark.x, mark.y)
            assert max(mark.x, mark.y) <= SIDE - SIZES[mark.size]


def test_a_single_thing_lies_in_its_place():
    for scene, layout in scenes_and_layouts("single"):
        (mark,) = layout.marks
        if scene.place:
            assert (int(mark.x * 3 / SIDE), int(mark.y * 3 / SIDE)) == PLACES[scene.place]


def test_pairs_stand_in_their_relation():
    for scene, layout in scenes_and_layouts("pair"):
        first, second = layout.marks
        assert [(m.shape, m.colour) for m in layout.marks] == [(t.shape, t.colour) for t in scene.things]
        apart = {
            "left of": second.x - first.x,
            "right of": first.x - second.x,
            "above": second.y - first.y,
            "below": first.y - second.y,
        }
        assert apart[scene.relation] > 20


def test_counted_things_are_as_many_and_apart():
    for scene, layout in scenes_and_layouts("count"):
        assert len(layout.marks) == scene.count
        for i, a in enumerate(layout.marks):
            for b in layout.marks[:i]:
                assert max(abs(a.x - b.x), abs(a.y - b.y)) >= 2 * SIZES[a.size]


def test_stated_sizes_are_drawn():
    for scene, layout in scenes_and_layouts("pair"):
        for thing, mark in zip(scene.things, layout.marks, strict=True):
            assert thing.size in (None, mark.size)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("colour", COLOURS)
def test_a_shape_is_drawn_in_its_colour_where_it_belongs(shape, colour):
    image = render(Layout(PLAIN, (Mark(shape, colour, "large", 32, 32),))).astype(int)
    painted = (np.abs(image - COLOURS[colour]).max(axis=2) < 3).nonzero()
    area = len(painted[0])
    assert 150 < area < 31 * 31
    assert abs(painted[0].mean() - 32) < 3
    assert abs(painted[1].mean() - 31.5) < 1


def test_shapes_all_look_different():
    pictures = {render(Layout(PLAIN, (Mark(shape, "red", "medium", 32, 32),))).tobytes() for shape in SHAPES}
    assert len(pictures) == len(SHAPES)


def test_backgrounds_all_look_different():
    layouts = [Layout(layout.background) for _, layout in scenes_and_layouts("single")]
    assert len({render(layout).tobytes() for layout in layouts}) == 12


@pytest.mark.parametrize("word", WRITTEN)
def test_written_words_fit(word):
    assert 3 <= len(word) <= MAX_LETTERS
    for y in (WORD_ROWS[0] - WORD_JITTER, WORD_ROWS[-1] + WORD_JITTER):
        image = render(Layout(PLAIN, word=word, colour="blue", x=SIDE / 2 + WORD_JITTER, y=y))
        edges = np.concatenate([image[:, 0], image[:, -1], image[0], image[-1]])
        assert (edges == edges[0]).all(), "letters touch the edge"


def test_captions_without_pictures_are_the_same():
    source, bare = Scenes(seed=3), Scenes(seed=3).captions()
    for position in range(20):
        sample, other = source[position], bare[position]
        assert (other.caption, other.metadata["scene"]) == (sample.caption, sample.metadata["scene"])
        assert other.image.size == 0
    assert source.captions()[0].image.size == 0
    assert source[0].image.size > 0
