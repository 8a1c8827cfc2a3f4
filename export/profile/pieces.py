"""The pieces of a UNet that are measured: each prunable sublayer, and the parts that no gate makes smaller.

Pieces that compute the same are one. Their weights are random, since no call's cost depends on them. Refuses
transformer blocks whose sublayers do not stand between a norm and a sum.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn

from aptp.model.initial import randomise
from aptp.model.slicer import SkippedResnet, shrink
from aptp.space.architecture import Architecture
from aptp.space.groups import Kind, Space, WidthGroup, inside
from aptp.space.profile import FIXED
from export.graphs import weights
from export.profile.calls import Joined, Replay, ResidualCall, TracedCall
from runtime.errors import Refused

NORMS = {"attn1": "norm1", "attn2": "norm2", "ff": "norm3"}


@dataclass(frozen=True)
class Piece:
    """The piece that `modules` have in common: `form`, on the meta device, with all its gates.

    `group`: what is pruned from `form.layer`; None for what no gate makes smaller. `macs`: of one call.
    """

    modules: tuple[str, ...]
    group: WidthGroup | None
    form: Replay
    macs: int

    @property
    def name(self) -> str:
        others = len(self.modules) - 1
        return self.modules[0] + (f" and {others} more" if others else "")

    @property
    def kind(self) -> str:
        return self.group.kind if self.group else FIXED

    @cached_property
    def key(self) -> object:
        """A key that is equal for pieces that compute the same: layers and their options, heads, shapes."""
        form = self.form
        return (self.kind, self.gates, self.chunk, type(form), repr(form), tuple(form.shapes))

    @property
    def gates(self) -> int:
        return self.group.gates if self.group else 1

    @property
    def chunk(self) -> int:
        return self.group.chunk if self.group else 0

    def counts(self, divisions: int) -> tuple[int, ...]:
        """Return the numbers of kept gates to measure: 1, all, those that divide the width evenly, and one
        above each of these, where a step of the hardware would show. 0, the piece skipped, where that leaves
        a graph: a skip tensor that is joined and cut off again.
        """
        steps = {round(self.gates * i / divisions) for i in range(1, divisions)}
        near = {step + above for step in steps for above in (0, 1)}
        found = {1, self.gates} | {kept for kept in near if 0 < kept < self.gates}
        skippable = isinstance(self.form, Joined) and self.form.skippable
        return tuple(sorted(found | ({0} if skippable else set())))

    def build(self, kept: int) -> Replay:
        """Build the piece with `kept` gates, on the CPU, with random weights that float16 holds."""
        form = copy.deepcopy(self.form)
        if kept == 0:
            assert isinstance(form, Joined), "only a skipped resnet of an up block leaves something"
            form.layer = SkippedResnet(form.channels)
        elif self.group:
            space = Space((replace(self.group, module="layer"),), ())
            shrink(form, Architecture(space, np.arange(self.gates) < kept))
        return filled(form)


def filled(form: Replay) -> Replay:
    """Return `form`, which lies on the meta device, on the CPU with random weights that float16 holds."""
    form.to_empty(device="cpu").requires_grad_(False).eval()
    randomise(form, torch.Generator().manual_seed(0))
    weights.round_to_half(form)
    return form


def inputs(form: Replay) -> list[Tensor]:
    """Draw normal noise of the shapes that `form` takes."""
    random = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=random) for shape in form.shapes]


def cut(
    unet: UNet2DConditionModel, space: Space, calls: Mapping[str, TracedCall], macs: Mapping[str, int]
) -> list[Piece]:
    """Return the pieces of `unet`, in the order in which its call reaches them. `calls`: as recorded; `macs`:
    of one call, by module. Raises Refused.
    """
    found: dict[object, Piece] = {}
    for piece in (*_gated(unet, space, calls, macs), *_ungated(unet, space, calls, macs)):
        twin = found.get(piece.key)
        found[piece.key] = replace(piece, modules=twin.modules + piece.modules) if twin else piece
    order = {path: place for place, path in enumerate(calls)}
    return sorted(found.values(), key=lambda piece: order[piece.modules[0]])


def _gated(
    unet: UNet2DConditionModel, space: Space, calls: Mapping[str, TracedCall], macs: Mapping[str, int]
) -> Iterator[Piece]:
    for group in space.widths:
        path = group.module
        layer, call = unet.get_submodule(path), calls[path]
        form: Replay
        if group.kind is not Kind.RESNET:
            form = ResidualCall(layer, call, unet.get_submodule(_norm(unet, path)))
        elif path.startswith("up_blocks."):
            form = Joined(layer, call, _stream(unet, path, calls))
        else:
            form = Replay(layer, call)
        yield Piece((path,), group, form, _macs(macs, path))


def _ungated(
    unet: UNet2DConditionModel, space: Space, calls: Mapping[str, TracedCall], macs: Mapping[str, int]
) -> Iterator[Piece]:
    """Yield transformers without their blocks; then the largest modules that hold nothing measured
    elsewhere.
    """
    taken = [group.module for group in space.widths]
    taken += [_norm(unet, group.module) for group in space.widths if group.kind is not Kind.RESNET]
    for path, call in calls.items():
        layer = unet.get_submodule(path)
        if isinstance(layer, Transformer2DModel) and any(inside(one, path) for one in taken):
            shell = copy.deepcopy(layer)
            shell.transformer_blocks = nn.ModuleList()
            names = [f"{path}.{name}" for name, _ in shell.named_children() if name != "transformer_blocks"]
            taken += names
            yield Piece((path,), None, Replay(shell, call), sum(_macs(macs, name) for name in names))
    for path, call in calls.items():
        if path and not any(inside(path, one) or inside(one, path) for one in taken):
            taken.append(path)
            yield Piece((path,), None, Replay(unet.get_submodule(path), call), _macs(macs, path))


def _norm(unet: UNet2DConditionModel, path: str) -> str:
    """Return the path of the norm before a sublayer of a transformer block."""
    block, _, name = path.rpartition(".")
    norm_type = unet.get_submodule(block).norm_type
    if norm_type != "layer_norm":
        raise Refused(f"{block}: with norms of type {norm_type} its sublayers cannot be measured alone")
    return f"{block}.{NORMS[name]}"


def _stream(unet: UNet2DConditionModel, path: str, calls: Mapping[str, TracedCall]) -> int:
    """Return the channels of the residual stream before a resnet of an up block; the skip tensor has the
    others.
    """
    block, _, index = path.rpartition(".resnets.")
    if index == "0":
        return int(calls[block].shapes[0][1])
    return int(unet.get_submodule(f"{block}.resnets.{int(index) - 1}").out_channels)


def _macs(macs: Mapping[str, int], path: str) -> int:
    return sum(count for name, count in macs.items() if inside(name, path))
