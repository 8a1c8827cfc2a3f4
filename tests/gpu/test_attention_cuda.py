"""The attention kernels as a GPU runs them: every test of the interpreter again, and what only a GPU has."""

from pathlib import Path

import pytest
import torch

from kernels.attention.op import gated_attention
from tests.kernels.attention.problems import FORWARD, GRADIENTS, error, problem
from tests.kernels.attention.test_backward import (  # noqa: F401
    test_a_closed_gate_gets_its_derivative_when_asked,
    test_a_walk_in_parts_is_the_same_sum,
    test_closed_heads_get_zeros_and_are_never_read,
    test_gradients_in_any_layout,
    test_keys_beyond_a_samples_length_get_zeros_and_are_never_read,
    test_the_same_bits_every_time,
)
from tests.kernels.attention.test_forward import (  # noqa: F401
    test_any_gates_and_lengths,
    test_by_token_without_copies,
    test_closed_heads_are_zero_and_never_read,
    test_every_head_dim_and_dtype,
    test_gates_of_any_dtype_and_stride,
    test_keys_beyond_a_samples_length_are_never_read,
    test_layouts_give_the_same_bits,
    test_logits_far_from_zero,
    test_logits_that_overflow_float16,
    test_open_heads_are_the_same_bits_whatever_the_others_do,
    test_scale,
    test_ugly_shapes,
)
from tests.kernels.attention.test_op import INDUCTORS_OWN, Module, attend

pytestmark = pytest.mark.gpu

SD21 = [(4096, 4096), (9216, 9216), (1024, 1024), (4096, 77), (144, 144), (64, 64)]


@pytest.mark.parametrize(("queries", "keys"), SD21)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_shapes_of_sd21(queries: int, keys: int, dtype: torch.dtype, device: str) -> None:
    given = problem(queries, keys, 64, gates=((1.0, 0.0), (1.0, 1.0)), dtype=dtype, device=device)
    assert error(given.attended(), given.expected()) <= FORWARD[dtype]
    grad = torch.randn_like(given.q)
    found, wanted = given.gradients(grad), given.expected_gradients(grad)
    for one, other in zip(found[:3], wanted[:3], strict=True):
        assert error(one, other) <= GRADIENTS[dtype]


@pytest.mark.filterwarnings(INDUCTORS_OWN)
def test_compiled_without_a_break_forward_and_backward(device: str) -> None:
    given = problem(200, 77, 64, dtype=torch.bfloat16, device=device)
    results = []
    for function in (attend, torch.compile(attend, fullgraph=True)):
        leaves = [x.clone().requires_grad_() for x in given.tensors]
        function(*leaves).float().square().sum().backward()
        results.append([x.grad for x in leaves])
    torch.testing.assert_close(*results)


@pytest.mark.filterwarnings(INDUCTORS_OWN)
def test_packaged_ahead_of_time(device: str, tmp_path: Path) -> None:
    given = problem(200, 77, 64, dtype=torch.bfloat16, device=device)
    program = torch.export.export(Module(), given.tensors)
    path = torch._inductor.aoti_compile_and_package(program, package_path=str(tmp_path / "attention.pt2"))
    found = torch._inductor.aoti_load_package(path)(*given.tensors)
    torch.testing.assert_close(found, gated_attention(*given.tensors))


def test_no_wait_for_the_gpu(device: str) -> None:
    given = problem(200, 77, 64, lengths=[40, 77], dtype=torch.bfloat16, device=device)
    grad = torch.randn_like(given.q)
    given.gradients(grad, straight_through=True)  # compiles
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        given.gradients(grad, straight_through=True)
    finally:
        torch.cuda.set_sync_debug_mode("default")
