"""Codes become hard and legal, and survive the round trip through JSON."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aptp.space.architecture import Architecture, full, harden
from aptp.space.discover import discover
from aptp.space.groups import Kind
from runtime.errors import SpaceError
from tests.geometries import make_unet

SPACE = discover(make_unet("sd2"))
SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.sampled_from([1, 2, 8, 64]), st.floats(0, 1))
def test_any_code_becomes_a_legal_aligned_architecture(seed: int, align: int, level: float) -> None:
    scores = np.random.default_rng(seed).random(SPACE.size) * level
    architecture = harden(SPACE, scores, align=align)
    for group, columns in SPACE.columns():
        kept = int(architecture.keep[columns].sum())
        assert kept >= max(1, (scores[columns] > 0.5).sum())
        if group.kind in (Kind.RESNET, Kind.FEED_FORWARD):
            assert kept * group.chunk % align == 0 or kept == group.gates


@given(SEEDS)
def test_round_trip_through_json(seed: int) -> None:
    architecture = harden(SPACE, np.random.default_rng(seed).random(SPACE.size))
    again = Architecture.from_json(SPACE, architecture.to_json())
    assert again == architecture
    assert again.digest() == architecture.digest()


def test_an_empty_group_keeps_its_best_gate() -> None:
    scores = np.zeros(SPACE.size)
    _, columns = next(iter(SPACE.columns()))
    scores[columns.start + 3] = 0.2
    assert harden(SPACE, scores).keep[columns].nonzero()[0].tolist() == [3]


def test_ties_go_to_the_lower_gate() -> None:
    architecture = harden(SPACE, np.zeros(SPACE.size))
    assert all(architecture.keep[columns.start] for _, columns in SPACE.columns())


def test_digests_tell_architectures_apart() -> None:
    other = full(SPACE).keep.copy()
    other[0] = False
    assert full(SPACE).digest() != Architecture(SPACE, other).digest()


@pytest.mark.parametrize(
    ("scores", "align", "message"),
    [
        (np.ones(3), 1, "has .* scores, not shape"),
        (np.full(SPACE.size, np.nan), 1, "not finite"),
        (np.ones(SPACE.size), 0, "at least 1"),
    ],
)
def test_codes_that_are_none(scores: np.ndarray, align: int, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        harden(SPACE, scores, align=align)


def test_an_architecture_keeps_something_everywhere() -> None:
    keep = full(SPACE).keep.copy()
    group, columns = next(iter(SPACE.columns()))
    keep[columns] = False
    with pytest.raises(SpaceError, match=f"{group.module}: all {group.gates} gates are dropped"):
        Architecture(SPACE, keep)


def test_an_architecture_is_a_boolean_vector_of_the_space() -> None:
    with pytest.raises(SpaceError, match="booleans"):
        Architecture(SPACE, np.ones(SPACE.size - 1, dtype=np.bool_))


def _broken(change: str) -> dict[str, object]:
    data = full(SPACE).to_json()
    name = SPACE.widths[0].module
    match change:
        case "short bits":
            data["widths"][name] = "1"
        case "other characters":
            data["widths"][name] = "2" * SPACE.widths[0].gates
        case "unknown module":
            data["widths"][name + "x"] = "1"
        case "missing module":
            del data["widths"][name]
        case "depth not boolean":
            data["depths"][SPACE.depths[0].module] = "yes"
        case "no widths":
            del data["widths"]
    return data


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("short bits", "expected 8 characters"),
        ("other characters", "expected 8 characters"),
        ("unknown module", "did you mean"),
        ("missing module", "is missing"),
        ("depth not boolean", "expected true or false"),
        ("no widths", "needs an object 'widths'"),
    ],
)
def test_json_that_does_not_fit(change: str, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        Architecture.from_json(SPACE, _broken(change))
