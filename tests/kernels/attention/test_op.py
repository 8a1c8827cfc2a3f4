"""The operator as torch sees it, with the CPU's kernel: the reference."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kernels.attention import op
from kernels.attention.op import gated_attention
from tests.kernels.attention.problems import Problem, problem

ROOT = Path(__file__).parents[3]

# The compiler still uses what the rest of torch deprecates.
INDUCTORS_OWN = "ignore:.*(torch.jit|LeafSpec).*is deprecated"


class Module(torch.nn.Module):
    def forward(self, q: Tensor, k: Tensor, v: Tensor, gates: Tensor) -> Tensor:
        return gated_attention(q, k, v, gates)


def small() -> Problem:
    return problem(5, 7, gates=((1.0, 0.0), (0.5, 1.0)), lengths=[4, 7]).wide()


def attend(q: Tensor, k: Tensor, v: Tensor, gates: Tensor) -> Tensor:
    return gated_attention(q, k, v, gates, straight_through=True)


def test_torch_accepts_its_registration() -> None:
    given = small()
    leaves = [x.requires_grad_() for x in given.tensors]
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(op._forward, (*leaves, given.lengths, 0.1, True), test_utils=checks)


def test_torch_accepts_the_registration_of_its_gradient() -> None:
    given = small()
    out, lse2 = op._forward(*given.tensors, None, 0.1, True)
    arguments = (out, *given.tensors, None, out, lse2, 0.1, True)
    torch.library.opcheck(op._backward, arguments, test_utils=("test_schema", "test_faketensor"))


def test_torch_accepts_what_the_kernels_return(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(op, "on_gpu", lambda x: True)
    given = problem(600, 9, gates=((1.0, 0.0),))  # enough queries to be walked over in parts
    out, lse2 = op._forward(*given.tensors, None, 0.1, True)
    checks = ("test_schema", "test_faketensor")
    torch.library.opcheck(op._forward, (*given.tensors, None, 0.1, True), test_utils=checks)
    arguments = (out, *given.tensors, None, out, lse2, 0.1, True)
    torch.library.opcheck(op._backward, arguments, test_utils=checks)


def test_gradients_agree_with_finite_differences() -> None:
    given = small()
    leaves = [x.requires_grad_() for x in given.tensors]
    assert torch.autograd.gradcheck(attend, leaves, fast_mode=True)


def test_a_gate_alone_can_be_learned() -> None:
    given = small()
    gates = given.gates.requires_grad_()
    attend(given.q, given.k, given.v, gates).sum().backward()
    assert gates.grad is not None
    assert given.q.grad is None


def test_kernels_and_reference_are_one_operator(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = problem(20, 9, gates=((1.0, 0.0, 0.5),))
    grad = torch.ones_like(given.q)
    kernels = given.gradients(grad)
    monkeypatch.setattr(op, "on_gpu", lambda x: False)
    for one, other in zip(kernels, given.gradients(grad), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_exported_it_stays_an_operator() -> None:
    given = small()
    program = torch.export.export(Module(), given.tensors)
    called = [node.target for node in program.graph.nodes if node.op == "call_function"]
    assert torch.ops.aptp.gated_attention.default in called
    torch.testing.assert_close(program.module()(*given.tensors), gated_attention(*given.tensors))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings(INDUCTORS_OWN)
def test_packaged_ahead_of_time(tmp_path: Path) -> None:
    given = problem(20, 9, gates=((1.0, 0.0, 0.5),))
    program = torch.export.export(Module(), given.tensors)
    path = torch._inductor.aoti_compile_and_package(program, package_path=str(tmp_path / "attention.pt2"))
    found = torch._inductor.aoti_load_package(path)(*given.tensors)
    torch.testing.assert_close(found, gated_attention(*given.tensors))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings(INDUCTORS_OWN)
def test_compiled_without_a_break_forward_and_backward() -> None:
    given = problem(20, 9, gates=((1.0, 0.0, 0.5),))
    compiled = torch.compile(attend, fullgraph=True)
    results = []
    for function in (attend, compiled):
        leaves = [x.clone().requires_grad_() for x in given.tensors]
        function(*leaves).square().sum().backward()
        results.append([x.grad for x in leaves])
    torch.testing.assert_close(*results)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings(INDUCTORS_OWN)
def test_sizes_may_stay_open() -> None:
    given = small()
    leaves = [x.requires_grad_() for x in given.tensors]
    arguments = (*leaves, given.lengths, 0.1, True)
    torch.library.opcheck(op._forward, arguments, test_utils=("test_aot_dispatch_dynamic",))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_cpu_needs_no_triton() -> None:
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch; from kernels.attention.op import gated_attention\n"
        "q = torch.randn(1, 2, 5, 32, requires_grad=True)\n"
        "gated_attention(q, q, q, torch.ones(1, 2)).sum().backward(); print(q.grad.shape)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "torch.Size([1, 2, 5, 32])\n", done.stderr
    assert done.stderr == ""
