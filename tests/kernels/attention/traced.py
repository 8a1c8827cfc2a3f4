"""Traces the operator and its gradient as torch.compile does for a GPU, with sizes as numbers and as symbols,
and prints what each kernel writes.

    TRITON_INTERPRET=0 python -m tests.kernels.attention.traced

Torch reads off a kernel's code which tensors it writes, and where it cannot tell it copies every one of them.
No GPU is needed: the tensors have no memory, and the driver only names the architecture.
"""

import json
from types import SimpleNamespace

import torch
import triton
from torch import Tensor
from torch._functorch.aot_autograd import aot_export_module
from torch._higher_order_ops import triton_kernel_wrap
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from triton.backends.compiler import GPUTarget

from kernels.attention import op


class Loss(torch.nn.Module):
    def forward(self, q: Tensor, k: Tensor, v: Tensor, gates: Tensor) -> tuple[Tensor]:
        return (op.gated_attention(q, k, v, gates, straight_through=True).float().sum(),)


def written(mode: FakeTensorMode) -> dict[str, list[str]]:
    """The names of the tensors that each kernel writes."""
    shapes = ((2, 1000, 3 * 64), (2, 77, 3 * 64), (2, 77, 3 * 64), (2, 3))
    leaves = tuple(mode.from_tensor(torch.empty(shape)).requires_grad_() for shape in shapes)
    with mode:
        graph, _ = aot_export_module(Loss(), leaves, trace_joint=True, output_loss_index=0)
    launches = graph.graph.find_nodes(
        op="call_function", target=triton_kernel_wrap.triton_kernel_wrapper_functional
    )
    table = triton_kernel_wrap.kernel_side_table
    return {
        table.get_kernel(node.kwargs["kernel_idx"]).fn.__name__: sorted(node.kwargs["tensors_to_clone"])
        for node in launches
    }


def main() -> None:
    target = GPUTarget("cuda", 90, 32)
    triton.runtime.driver.set_active(SimpleNamespace(get_current_target=lambda: target))
    op.on_gpu = lambda x: True
    for mode in (FakeTensorMode(static_shapes=True), FakeTensorMode(shape_env=ShapeEnv())):
        print(json.dumps(written(mode)))  # noqa: T201


if __name__ == "__main__":
    main()
