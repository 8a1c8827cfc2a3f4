"""The supernet with the attention kernel, in Triton's interpreter: the same function as without it."""

from functools import cache

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor

from aptp.model import attention
from aptp.model.gates import GatedUNet
from aptp.model.sliced import gates_of, slice_unet
from aptp.space.architecture import Architecture, harden
from aptp.space.discover import discover
from kernels.attention import op
from tests.geometries import GEOMETRIES, make_inputs
from tests.kernels.interpreter import repair

HEADS = {
    **GEOMETRIES["sd2"],
    "block_out_channels": (64, 128),
    "attention_head_dim": (2, 4),
    "layers_per_block": 1,
}
CODES = 4


class Spy:
    """Counts calls of the kernel."""

    calls = 0

    def __call__(self, *args: Tensor, **options: object) -> Tensor:
        self.calls += 1
        return op.gated_attention(*args, **options)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Spy:
    """As on a GPU: the kernels run, whatever the device."""
    repair(monkeypatch)
    spy = Spy()
    for module in (op, attention):
        monkeypatch.setattr(module, "on_gpu", lambda x: True)
    monkeypatch.setattr(attention, "gated_attention", spy)
    return spy


@cache
def make() -> tuple[UNet2DConditionModel, GatedUNet]:
    """Head dim 32, which the kernel takes; twice the same weights."""
    torch.manual_seed(0)
    unet, wrapped = (UNet2DConditionModel(**HEADS).eval() for _ in range(2))
    wrapped.load_state_dict(unet.state_dict())
    return unet, GatedUNet(wrapped, discover(unet, depth="all"))


def architectures() -> list[Architecture]:
    _, supernet = make()
    scores = np.random.default_rng(0).random((CODES, supernet.space.size))
    return [harden(supernet.space, row) for row in scores]


@torch.no_grad()
def test_a_batch_of_four_codes_equals_their_slices(kernel: Spy) -> None:
    unet, supernet = make()
    codes = architectures()
    inputs = make_inputs(unet, batch=CODES)
    mixed = supernet(**inputs, gates=torch.cat([gates_of(code) for code in codes]))
    assert kernel.calls == 2 * 4  # self- and cross-attention of the down block, the middle and two up blocks
    for i, code in enumerate(codes):
        alone = slice_unet(unet, code)(**{name: x[i : i + 1] for name, x in inputs.items()}).sample[0]
        assert (mixed[i] - alone).square().mean().sqrt() <= 1e-5 * alone.std()


@torch.no_grad()
def test_exported_the_supernet_keeps_the_operator_in_every_attention(kernel: Spy) -> None:
    _, supernet = make()
    inputs = {**make_inputs(supernet.unet), "gates": torch.ones(2, supernet.space.size)}
    batch = torch.export.Dim("batch", min=1, max=16)
    shapes = {name: {0: batch} for name in inputs}
    program = torch.export.export(supernet, (), inputs, dynamic_shapes=shapes)
    targets = [node.target for node in program.graph.nodes]
    assert targets.count(torch.ops.aptp.gated_attention.default) == 2 * 4


def test_gates_learn_the_same(kernel: Spy, monkeypatch: pytest.MonkeyPatch) -> None:
    unet, supernet = make()
    inputs = make_inputs(unet, batch=1)
    learned = []
    for usable in (True, False):
        monkeypatch.setattr(attention, "on_gpu", lambda x, usable=usable: usable)
        gates = gates_of(architectures()[0]).clone().requires_grad_()
        supernet(**inputs, gates=gates).square().sum().backward()
        learned.append(gates.grad)
    assert kernel.calls > 0
    torch.testing.assert_close(*learned, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("why", "taken"), [("head dim", 0), ("dtype", 0), ("mask of the text", 4), ("normalised queries", 7)]
)
@torch.no_grad()
def test_what_the_kernel_does_not_take_goes_the_plain_way(
    why: str, taken: int, kernel: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    unet, supernet = make()
    inputs = make_inputs(unet)
    if why == "head dim":
        unet = UNet2DConditionModel(**GEOMETRIES["sd2"]).eval()
        supernet = GatedUNet(unet, discover(unet))
    if why == "dtype":
        supernet = supernet.double()
        inputs = {name: x.double() for name, x in inputs.items()}
    if why == "mask of the text":
        inputs["encoder_attention_mask"] = torch.ones(2, 5, dtype=torch.bool)
    if why == "normalised queries":
        one = next(x for x in supernet.unet.modules() if isinstance(x, Attention))
        monkeypatch.setattr(one, "norm_q", torch.nn.Identity())
    supernet(**inputs, gates=torch.ones(2, supernet.space.size))
    supernet.float()  # which other tests share
    assert kernel.calls == taken


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # what the tracers themselves use
@torch.no_grad()
def test_compiled_without_a_break(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced with the processor's way through the operator, as for a GPU; the operator's CPU kernel runs."""
    monkeypatch.setattr(attention, "on_gpu", lambda x: True)
    unet, supernet = make()
    inputs = {**make_inputs(unet, batch=CODES), "gates": torch.cat([gates_of(x) for x in architectures()])}
    wanted = supernet(**inputs)
    compiled = torch.compile(supernet, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(**inputs), wanted, rtol=1e-4, atol=1e-5)
