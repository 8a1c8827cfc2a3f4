"""Gradients of q, k, v and the gates, through autograd, against the reference in float64."""

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from kernels.attention import backward
from kernels.attention.tiles import DTYPES, HEAD_DIMS
from tests.kernels.attention.problems import NAMES, Problem, decided, error, problem


def upstream(given: Problem) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(given.q.shape, generator=generator).to(given.q.device, given.q.dtype)


def check(given: Problem, *, straight_through: bool = False, few_keys: bool = False) -> None:
    """Errors relative to each gradient or, where it nearly cancels, to the size of its terms: a gate's is a
    sum over the whole head, and the softmax over a single key has no slope.
    """
    grad = upstream(given)
    found = given.gradients(grad, straight_through=straight_through)
    wanted = given.expected_gradients(grad, straight_through)
    for name, one, other, x in zip(NAMES, found, wanted, given.tensors, strict=True):
        assert one.dtype == x.dtype
        size = other.norm()
        if name == "gates":
            ungated = replace(given, gates=torch.ones_like(given.gates))
            size = torch.maximum(size, (grad.double() * ungated.expected()).norm())
        elif few_keys:
            size = torch.maximum(size, grad.double().norm())
        assert (one.double() - other).norm() <= given.gradient_tolerance * size, name


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", HEAD_DIMS)
def test_every_head_dim_and_dtype(width: int, dtype: torch.dtype, device: str, architecture: None) -> None:
    check(problem(70, 77, width, gates=((1.0, 0.0, 0.5),), dtype=dtype, device=device))


@pytest.mark.parametrize(
    ("queries", "keys"), [(1, 1), (3, 1), (1, 3), (64, 64), (67, 131), (1021, 3), (1, 1021)]
)
def test_ugly_shapes(queries: int, keys: int, device: str) -> None:
    check(problem(queries, keys, gates=((1.0,),), device=device), few_keys=True)


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    queries=st.integers(1, 70),
    keys=st.integers(1, 70),
    gates=st.lists(st.sampled_from([0.0, 1.0, 0.3, -2.0]), min_size=2, max_size=2),
    lengths=st.none() | st.lists(st.integers(-1, 80), min_size=2, max_size=2),
    straight_through=st.booleans(),
)
def test_any_gates_and_lengths(
    queries: int,
    keys: int,
    gates: list[float],
    lengths: list[int] | None,
    straight_through: bool,
    device: str,
) -> None:
    rows = [[gate] for gate in gates]
    given = problem(queries, keys, gates=rows, lengths=lengths, device=device)
    check(given, straight_through=straight_through, few_keys=True)


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_a_walk_in_parts_is_the_same_sum(blocks: int, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backward, "walked", lambda total, programs: blocks)
    check(problem(300, 9, gates=((1.0,),), device=device))


@pytest.mark.parametrize("gates", [((0.0, 0.0), (0.0, 0.0)), ((0.0, 0.0), (1.0, 1.0))])
def test_closed_heads_get_zeros_and_are_never_read(gates: tuple[tuple[float, ...], ...], device: str) -> None:
    given = problem(10, 20, gates=gates, device=device)
    grad = upstream(given)
    closed = given.gates == 0
    for x in (given.q, given.k, given.v, grad):
        x[closed] = torch.nan
    for name, found in zip(NAMES, given.gradients(grad), strict=True):
        assert (found[closed] == 0).all(), name
        assert found.isfinite().all(), name


def test_a_closed_gate_gets_its_derivative_when_asked(device: str) -> None:
    given = problem(10, 20, gates=((0.0, 1.0), (0.0, 0.5)), device=device)
    check(given, straight_through=True)
    *_, silent = given.gradients(upstream(given))
    *_, heard = given.gradients(upstream(given), straight_through=True)
    assert (silent[:, 0] == 0).all()
    assert (heard[:, 0] != 0).all()
    assert torch.equal(heard[:, 1], silent[:, 1])


def test_keys_beyond_a_samples_length_get_zeros_and_are_never_read(device: str) -> None:
    given = problem(10, 77, gates=((1.0,), (1.0,)), lengths=[40, 0], device=device)
    for x in (given.k, given.v):
        x[0, :, 40:] = torch.nan
        x[1] = torch.nan
    grad = upstream(given)
    grad[1] = torch.inf  # of what has no keys nothing is read, the gradient of its output included
    dq, dk, dv, dgates = given.gradients(grad, straight_through=True)
    for found in (dk, dv):
        assert (found[0, :, 40:] == 0).all()
        assert (found[1] == 0).all()
        assert found.isfinite().all()
    assert dq.isfinite().all()
    assert (dq[1] == 0).all()
    assert dgates[1] == 0
    assert dgates.isfinite().all()


def test_logits_that_overflow_float16(device: str) -> None:
    """Each query picks one key: dS is a difference of equals, so that only the size of its terms is known."""
    given = decided(20, 40, 64, device=device)
    grad = upstream(given)
    found = dict(zip(NAMES, given.gradients(grad), strict=True))
    wanted = dict(zip(NAMES, given.expected_gradients(grad), strict=True))
    assert error(found["v"], wanted["v"]) <= given.gradient_tolerance
    assert error(found["gates"], wanted["gates"]) <= given.gradient_tolerance
    wide, gate = given.wide(), given.gates.double()[:, :, None, None]
    terms = gate * 64**-0.5 * (grad.double() @ wide.v.mT) * (wide.q @ wide.k.mT * 64**-0.5).softmax(-1)
    for name, size in (("q", terms @ wide.k), ("k", terms.mT @ wide.q)):
        assert (found[name].double() - wanted[name]).norm() <= given.gradient_tolerance * size.norm()


def test_the_same_bits_every_time(device: str) -> None:
    given = problem(130, 40, device=device)
    grad = upstream(given)
    for one, other in zip(given.gradients(grad), given.gradients(grad), strict=True):
        assert torch.equal(one, other)


def test_gradients_in_any_layout(device: str) -> None:
    given = problem(10, 20, device=device)
    grad = upstream(given)
    strided = torch.stack((grad, grad), -1)[..., 0]
    for one, other in zip(given.gradients(grad), given.gradients(strided), strict=True):
        assert torch.equal(one, other)
    assert error(given.gradients(grad)[0], given.expected_gradients(grad)[0]) <= given.gradient_tolerance
