"""Plots show all of what they are given, and nothing that is not there."""

import re

import numpy as np
import pytest

from aptp.analyse.charts import (
    DOTS,
    HEIGHT,
    MAP,
    RAMP,
    SIDE,
    WIDTH,
    code_colours,
    directions,
    histograms,
    landscape,
)


def numbers(svg: object, what: str) -> list[float]:
    return [float(value) for value in re.findall(what, str(svg))]


def test_the_tallest_bin_is_the_fullest() -> None:
    values = np.array([0.0] * 1 + [0.5] * 6 + [1.0] * 3)
    svg = histograms([("red", values)], "label")
    tops = numbers(svg, r"V([\d.]+)H")
    assert min(tops) == 14
    assert tops.index(14) == 30  # the middle of sixty


def test_values_beyond_the_axis_are_counted_at_its_end() -> None:
    svg = histograms([("red", np.array([0.1, 0.2, 9.0, 9.0]))], "label", limit=0.5, top=1.0)
    assert "and more" in svg
    assert "limit 0.50" in svg
    assert numbers(svg, r"V([\d.]+)H")[-1] == 14
    assert "and more" not in histograms([("red", np.array([0.1, 1.0]))], "label", top=1.0)


@pytest.mark.parametrize("values", [[0.5, 0.5], [-1e-3, 1e-3], [3.0, 7000.0]])
def test_ticks_lie_on_the_axis(values: list[float]) -> None:
    svg = histograms([("red", np.array(values))], "label")
    ticks = numbers(svg, r'class="tick mid" x="([\d.]+)"')
    assert all(SIDE - 0.1 <= x <= WIDTH - SIDE + 0.1 for x in ticks)
    assert values[0] == values[1] or 3 <= len(ticks) <= 10


def test_prompts_are_placed_by_what_decides_their_code() -> None:
    one = np.array([[0.9, 0.1, 0.0], [0.1, 0.9, 0.0], [0.0, 0.1, 0.9]])
    dots = [numbers(landscape([(s, ["red"] * 3)], "label"), r"M([\d.]+)") for s in (one, one + 5.0)]
    assert dots[0] == pytest.approx(dots[1])


def test_dots_are_not_too_many_and_lie_in_the_picture() -> None:
    rng = np.random.default_rng(0)
    svg = landscape([(rng.normal(size=(5000, 4)), ["red", "blue"] * 2500)], "label")
    x, y = numbers(svg, r"M([\d.]+) "), numbers(svg, r"M[\d.]+ ([\d.]+)h0")
    assert DOTS <= len(x) <= 2 * DOTS
    assert min(x) >= 0 <= min(y)
    assert max(x) <= WIDTH
    assert max(y) <= MAP
    assert 'stroke:red"' in svg
    assert 'stroke:blue"' in svg
    assert HEIGHT < MAP


@pytest.mark.parametrize("codes", [1, 2, 3])
def test_few_codes_have_a_map_too(codes: int) -> None:
    similarities = np.random.default_rng(0).normal(size=(20, codes))
    axes, share = directions(similarities)
    assert axes.shape == (2, codes)
    assert share == pytest.approx(1)
    assert "nan" not in landscape([(similarities, ["red"] * 20)], "label")


def test_colours_go_from_the_cheapest_to_the_dearest() -> None:
    assert code_colours([0.9, 0.1, 0.5, 0.7]) == [RAMP[3], RAMP[0], RAMP[1], RAMP[2]]
    assert code_colours([0.4]) == [RAMP[0]]
    assert len(set(code_colours(list(np.linspace(0, 1, 16))))) == 16
