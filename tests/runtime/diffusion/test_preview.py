"""The steps that are shown, and their colours."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.bundle.reader import Bundle
from runtime.bundle.schema import Decoder
from runtime.diffusion.preview import moments, picture
from runtime.diffusion.schedule import Row, SolverSteps, Trajectory
from tests.bundles import CHANNELS, PREVIEW

PAGE = Path(__file__).parents[3] / "docs" / "BUNDLE.md"


@given(count=st.integers(0, 200), rows=st.integers(1, 150))
def test_moments_are_evenly_spaced_and_never_the_last(count: int, rows: int) -> None:
    shown = sorted(moments(count, rows))
    assert len(shown) == min(count, rows - 1)
    gaps = np.diff([0, *shown, rows])
    assert gaps.min() >= 1
    assert np.ptp(gaps) <= 1


def walked(state: np.ndarray, output: np.ndarray, estimate: tuple[float, float]) -> Trajectory:
    """A trajectory one row along its way."""
    row = Row(0.0, 1.0, ((0, 0.5),), (), estimate)
    trajectory = Trajectory(SolverSteps((row, row), 1.0, 1), state)
    trajectory.advance(output)
    return trajectory


@pytest.fixture
def decoder(bundle: Bundle) -> Decoder:
    return bundle.manifest.decoder


def test_every_latent_becomes_a_pixel(decoder: Decoder) -> None:
    output = np.random.default_rng(0).normal(size=(CHANNELS, 3, 5)).astype(np.float32)
    shown = picture(walked(np.zeros_like(output), output, (0.0, 1.0)), decoder)
    assert shown is not None
    assert (shown.shape, shown.dtype, shown.flags.c_contiguous) == ((3, 5, 3), np.uint8, True)
    colours = np.array(PREVIEW)
    wanted = np.einsum("kc,chw->hwk", colours[:, :-1], output) + colours[:, -1]
    assert np.abs(shown - 255 * np.clip(wanted / 2 + 0.5, 0, 1)).max() < 0.51
    assert {0, 255} <= set(shown.flat)  # what lies beyond is cut off


def test_a_bundle_that_does_not_say_how_shows_nothing(decoder: Decoder) -> None:
    latents = np.zeros((CHANNELS, 2, 2), np.float32)
    assert picture(walked(latents, latents, (1.0, 1.0)), replace(decoder, preview=None)) is None


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_what_is_not_finite_shows_nothing(decoder: Decoder, value: float) -> None:
    output = np.full((CHANNELS, 2, 2), value, np.float32)
    assert picture(walked(np.zeros_like(output), output, (0.0, 8.0)), decoder) is None


def test_the_example_of_the_page(decoder: Decoder) -> None:
    example = PAGE.read_text().partition("<!-- preview -->\n```text\n")[2]
    text, _, rest = example.partition("\n```")
    lines = [(name, [*map(float, values)]) for name, *values in map(str.split, text.splitlines())]
    (_, row), (_, state), (_, output), *colours = lines
    trajectory = walked(
        *(np.array(one, np.float32)[:, None, None] for one in (state, output)), (row[4], row[5])
    )
    said = re.search(
        r"are ([\d.-]+) and ([\d.-]+), and the pixel is `(\d+) (\d+) (\d+)`", " ".join(rest.split())
    )
    assert said is not None
    assert trajectory.estimate().reshape(-1) == pytest.approx([float(said[1]), float(said[2])], rel=1e-6)
    shown = picture(trajectory, replace(decoder, preview=tuple(tuple(values) for _, values in colours)))
    assert shown is not None
    assert shown.reshape(-1).tolist() == [int(one) for one in said.groups()[2:]]
