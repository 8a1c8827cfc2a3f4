"""The attention operator where only a GPU can show it: true sizes, the compilers, and no waiting."""

from pathlib import Path

import pytest
import torch

from kernels.attention.op import gated_attention
from tests.kernels.attention.problems import error, problem
from tests.kernels.attention.test_backward import check
from tests.kernels.attention.test_op import INDUCTORS_OWN, Module, attend

pytestmark = pytest.mark.gpu

SD21 = [(4096, 4096), (9216, 9216), (1024, 1024), (4096, 77), (144, 144), (64, 64)]


@pytest.mark.parametrize(("queries", "keys"), SD21)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_shapes_of_sd21(queries: int, keys: int, dtype: torch.dtype, device: str) -> None:
    given = problem(queries, keys, 64, gates=((1.0, 0.0), (1.0, 1.0)), dtype=dtype, device=device)
    assert error(given.attended(), given.expected()) <= given.tolerance
    check(given, straight_through=True)


def test_heads_beyond_the_reach_of_32_bits(device: str) -> None:
    """The output has more than 2³¹ elements, and all heads are closed but the last."""
    samples, heads, queries, keys, width = 17, 64, 2**15, 33, 64
    assert samples * heads * queries * width > 2**31
    like = {"device": device, "dtype": torch.bfloat16}
    q = torch.empty(samples, queries, heads, width, **like).transpose(1, 2)  # closed heads are never read
    q[-1, -1].normal_()
    k, v = torch.randn(2, samples, heads, keys, width, **like)
    gates = torch.zeros(samples, heads, device=device)
    gates[-1, -1] = 1
    last = problem(queries, keys, width, gates=((1.0,),), dtype=torch.bfloat16, device=device)
    for x, whole in zip((last.q, last.k, last.v), (q, k, v), strict=True):
        x[0, 0] = whole[-1, -1]
    leaf = q.requires_grad_()
    found = gated_attention(leaf, k, v, gates)
    (dq,) = torch.autograd.grad(found, leaf, found.detach())
    wanted = last.gradients(last.attended())[0]
    assert error(found[-1:, -1:], last.expected()) <= last.tolerance
    assert error(dq[-1:, -1:], wanted.double()) <= last.gradient_tolerance
    for x in (found, dq):
        assert sum(int(sample.count_nonzero()) for sample in x) == int(x[-1, -1].count_nonzero())


# The compilers replace what allocates memory by tracers, which cannot be fenced: hence `gpu`, not `device`.


@pytest.mark.filterwarnings(INDUCTORS_OWN)
def test_compiled_without_a_break_forward_and_backward(gpu: str) -> None:
    given = problem(200, 77, 64, dtype=torch.bfloat16, device=gpu)
    results = []
    for function in (attend, torch.compile(attend, fullgraph=True)):
        leaves = [x.clone().requires_grad_() for x in given.tensors]
        function(*leaves).float().square().sum().backward()
        results.append([x.grad for x in leaves])
    torch.testing.assert_close(*results)


@pytest.mark.filterwarnings(INDUCTORS_OWN)
def test_packaged_ahead_of_time(gpu: str, tmp_path: Path) -> None:
    given = problem(200, 77, 64, dtype=torch.bfloat16, device=gpu)
    program = torch.export.export(Module(), given.tensors)
    path = torch._inductor.aoti_compile_and_package(program, package_path=str(tmp_path / "attention.pt2"))
    found = torch._inductor.aoti_load_package(path)(*given.tensors)
    torch.testing.assert_close(found, gated_attention(*given.tensors))


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype:UserWarning")
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
