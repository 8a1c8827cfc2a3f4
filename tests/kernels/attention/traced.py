"""Traces the operator and its gradient as torch.compile does for a GPU, and prints what each kernel writes.

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
from triton.backends.compiler import GPUTarget

from kernels.attention import op


class Loss(torch.nn.Module):
    def forward(self, q: Tensor, k: Tensor, v: Tensor, gates: Tensor) -> tuple[Tensor]:
        return (op.gated_attention(q, k, v, gates, straight_through=True).float().sum(),)


def main() -> None:
    target = GPUTarget("cuda", 90, 32)
    triton.runtime.driver.set_active(SimpleNamespace(get_current_target=lambda: target))
    op.on_gpu = lambda x: True
    with FakeTensorMode():
        q, k, v = (torch.empty(2, n, 3 * 64, dtype=torch.bfloat16, requires_grad=True) for n in (256, 77, 77))
        gates = torch.empty(2, 3, requires_grad=True)
        graph, _ = aot_export_module(Loss(), (q, k, v, gates), trace_joint=True, output_loss_index=0)
    written = {}
    for node in graph.graph.find_nodes(
        op="call_function", target=triton_kernel_wrap.triton_kernel_wrapper_functional
    ):
        kernel = triton_kernel_wrap.kernel_side_table.get_kernel(node.kwargs["kernel_idx"])
        written[kernel.fn.__name__] = sorted(node.kwargs["tensors_to_clone"])
    print(json.dumps(written))  # noqa: T201


if __name__ == "__main__":
    main()
