"""The forward kernel against the reference in float64."""

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernels.attention.op import gated_attention
from kernels.attention.tiles import DTYPES, HEAD_DIMS
from tests.kernels.attention.problems import decided, error, problem

ONE_HEAD = ((1.0,),)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", HEAD_DIMS)
def test_every_head_dim_and_dtype(width: int, dtype: torch.dtype, device: str, architecture: None) -> None:
    given = problem(70, 77, width, gates=((1.0, 0.0, 0.5),), dtype=dtype, device=device)
    found = given.attended()
    assert found.dtype == dtype
    assert error(found, given.expected()) <= given.tolerance


@pytest.mark.parametrize(
    ("queries", "keys"), [(1, 1), (3, 1), (1, 3), (64, 64), (77, 77), (67, 131), (1, 4095), (4095, 3)]
)
def test_ugly_shapes(queries: int, keys: int, device: str) -> None:
    given = problem(queries, keys, gates=ONE_HEAD, device=device)
    assert error(given.attended(), given.expected()) <= given.tolerance


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    queries=st.integers(1, 70),
    keys=st.integers(1, 70),
    gates=st.lists(st.sampled_from([0.0, 1.0, 0.3, -2.0]), min_size=2, max_size=2),
    lengths=st.none() | st.lists(st.integers(-1, 80), min_size=2, max_size=2),
)
def test_any_gates_and_lengths(
    queries: int, keys: int, gates: list[float], lengths: list[int] | None, device: str
) -> None:
    given = problem(queries, keys, gates=[[gate] for gate in gates], lengths=lengths, device=device)
    wanted = given.expected()
    found = given.attended()
    assert (found - wanted).norm() <= given.tolerance * wanted.norm()


@pytest.mark.parametrize("layout", ["head-major", "token-major", "fused", "odd", "shared keys", "amid NaN"])
def test_layouts_give_the_same_bits(layout: str, device: str) -> None:
    given = problem(10, 10, 40, gates=((1.0, 0.5), (1.0, 0.0)), device=device)
    q, k, v = given.q, given.k, given.v
    if layout == "token-major":
        q, k, v = (x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v))
    if layout == "fused":
        q, k, v = torch.stack((q, k, v), 3).unbind(3)  # [B, H, N, 3, D] in memory
    if layout == "odd":  # rows of 43: none but the first starts at a whole number of bytes that loads like
        q, k, v = (torch.nn.functional.pad(x, (0, 3))[..., :40] for x in (q, k, v))
    if layout == "amid NaN":
        q, k, v = (torch.nn.functional.pad(x, (8, 8, 1, 1), value=torch.nan) for x in (q, k, v))
        q, k, v = (x[:, :, 1:-1, 8:-8] for x in (q, k, v))
    if layout == "shared keys":
        k, v = (x[:1].expand_as(x) for x in (k, v))
        given = replace(given, k=k.contiguous(), v=v.contiguous())
    assert torch.equal(gated_attention(q, k, v, given.gates), given.attended())


def test_by_token_without_copies(device: str) -> None:
    given = problem(10, 7, device=device)
    q, k, v = (x.transpose(1, 2).flatten(2) for x in (given.q, given.k, given.v))  # [B, N, H·D]
    found = gated_attention(q, k, v, given.gates)
    assert found.is_contiguous()
    assert torch.equal(found, given.attended().transpose(1, 2).flatten(2))


@pytest.mark.parametrize(
    "gates", [((0.0, 0.0), (0.0, 0.0)), ((0.0, 0.0), (1.0, 1.0)), ((-0.0, 1.0), (1.0, 1.0))]
)
def test_closed_heads_are_zero_and_never_read(gates: tuple[tuple[float, ...], ...], device: str) -> None:
    given = problem(10, 20, gates=gates, device=device)
    wanted = given.expected()
    for x in (given.q, given.k, given.v):
        x[given.gates == 0] = torch.nan
    found = given.attended()
    assert (found[given.gates == 0] == 0).all()
    assert (found - wanted).norm() <= given.tolerance * wanted.norm()


def test_open_heads_are_the_same_bits_whatever_the_others_do(device: str) -> None:
    some = problem(40, 20, gates=((1.0, 0.0), (0.0, 1.0)), device=device)
    every = replace(some, gates=torch.ones_like(some.gates))
    live = some.gates == 1
    assert torch.equal(some.attended()[live], every.attended()[live])


def test_logits_that_overflow_float16(device: str) -> None:
    # Stable Diffusion 2.1 makes such logits; the softmax then nearly picks one key.
    given = decided(20, 40, 64, device=device)
    assert (given.q.float() @ given.k.float().mT).abs().max() > torch.finfo(torch.float16).max
    found = given.attended()
    assert found.isfinite().all()
    assert error(found, given.expected()) <= given.tolerance


@pytest.mark.parametrize("shift", [-1e4, 1e4])
def test_logits_far_from_zero(shift: float, device: str) -> None:
    given = problem(5, 40, device=device)
    for x in (given.q, given.k):
        x.mul_(8).round_().div_(8)  # their products' sums are exact in float32, in whatever order
    given.q[..., 0], given.k[..., 0] = 1.0, shift
    assert (
        error(given.attended(), given.expected()) <= 500 * given.tolerance
    )  # scaled once, float32 logits of 1e4 carry 1e-3


@pytest.mark.parametrize("kind", [torch.int32, torch.int64], ids=str)
def test_keys_beyond_a_samples_length_are_never_read(kind: torch.dtype, device: str) -> None:
    given = problem(10, 77, gates=((1.0,), (1.0,), (1.0,)), lengths=[40, 0, 200], device=device)
    given = replace(given, lengths=given.lengths.to(kind))
    wanted = given.expected()
    for x in (given.k, given.v):
        x[0, :, 40:] = torch.nan
        x[1] = torch.nan
    found = given.attended()
    assert (found[1] == 0).all()
    assert error(found, wanted) <= given.tolerance


def test_scale(device: str) -> None:
    given = problem(10, 20, device=device)
    found = given.attended(scale=0.5)
    assert error(found, replace(given, q=given.q * 0.5 * 32**0.5).expected()) <= given.tolerance


def test_gates_of_any_dtype_and_stride(device: str) -> None:
    given = problem(10, 20, device=device)
    columns = torch.full((2, 7), torch.nan, dtype=torch.bfloat16, device=device)
    columns[:, 3:5] = given.gates
    assert torch.equal(replace(given, gates=columns[:, 3:5]).attended(), given.attended())
