"""The slicer: which entries of which tensors an architecture keeps, and the smaller module that results.

Five local rules say it: resnet hidden channels in whole GroupNorm groups, attention heads, GEGLU halves,
skipped sublayers, and the skipped up-block resnet that passes on only the non-skip channels. The residual
stream is never touched. The index maps are plain data, so slicing, checking and scattering back are three
uses of one description.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from aptp.space.architecture import Architecture
from aptp.space.groups import Kind, WidthGroup
from runtime.errors import SpaceError

IndexMaps = dict[str, tuple[int, Tensor]]


class SkippedResnet(nn.Module):
    """The replacement of a skipped resnet: it passes the residual stream, not the skip tensor concatenated
    behind it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, hidden_states: Tensor, temb: Tensor | None = None) -> Tensor:
        return hidden_states[:, : self.channels]  # [B, channels, H, W]


class SkippedTransformer(nn.Module):
    """The replacement of a skipped transformer, with its call signature."""

    def forward(self, hidden_states: Tensor, **ignored: Any) -> tuple[Tensor]:
        return (hidden_states,)


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule of slicing: parameter `name` below the group's module keeps part of its dimension `dim`."""

    name: str
    dim: int


_RULES: Mapping[Kind, tuple[_Rule, ...]] = {
    Kind.RESNET: (
        _Rule("conv1.weight", 0),
        _Rule("conv1.bias", 0),
        _Rule("time_emb_proj.weight", 0),  # two halves with scale-shift
        _Rule("time_emb_proj.bias", 0),
        _Rule("norm2.weight", 0),
        _Rule("norm2.bias", 0),
        _Rule("conv2.weight", 1),
    ),
    Kind.SELF_ATTENTION: (
        *(_Rule(f"to_{x}.{part}", 0) for x in "qkv" for part in ("weight", "bias")),
        _Rule("to_out.0.weight", 1),
    ),
    Kind.FEED_FORWARD: (
        _Rule("net.0.proj.weight", 0),  # two halves
        _Rule("net.0.proj.bias", 0),  # two halves
        _Rule("net.2.weight", 1),
    ),
}


def index_maps(architecture: Architecture, shapes: Mapping[str, torch.Size]) -> IndexMaps:
    """Return, for each tensor that gets smaller, the dimension and the indices kept, ascending.

    `shapes` are those of the dense UNet's parameters. Tensors of skipped sublayers are not listed: they
    disappear.
    """
    maps: IndexMaps = {}
    for group, columns in architecture.space.columns():
        kept = torch.from_numpy(architecture.keep[columns]).repeat_interleave(group.chunk)  # [channels]
        if kept.all() or _below(group.module, architecture.dropped):
            continue
        for rule in _RULES[Kind.SELF_ATTENTION if group.kind is Kind.CROSS_ATTENTION else group.kind]:
            name = f"{group.module}.{rule.name}"
            if name in shapes:  # biases and the time projection are optional
                halves = shapes[name][rule.dim] // kept.numel()
                maps[name] = (rule.dim, kept.repeat(halves).nonzero().squeeze(1))
    return maps


def sliced_shapes(architecture: Architecture, shapes: Mapping[str, torch.Size]) -> dict[str, torch.Size]:
    """Return the parameter names and shapes of the sliced UNet, from those of the dense one."""
    maps = index_maps(architecture, shapes)
    result = {}
    for name, shape in shapes.items():
        if not _below(name, architecture.dropped):
            dim, index = maps.get(name, (0, None))
            size = list(shape)
            size[dim] = size[dim] if index is None else index.numel()
            result[name] = torch.Size(size)
    return result


def shrink(unet: nn.Module, architecture: Architecture) -> None:
    """Slice `unet`, or any module with the paths of the architecture's space, in place and on whatever device
    its weights are.
    """
    shapes = {name: parameter.shape for name, parameter in unet.named_parameters()}
    for name, (dim, index) in index_maps(architecture, shapes).items():
        path, _, leaf = name.rpartition(".")
        module, parameter = unet.get_submodule(path), unet.get_parameter(name)
        smaller = parameter.detach().index_select(dim, index.to(parameter.device))
        setattr(module, leaf, nn.Parameter(smaller, requires_grad=parameter.requires_grad))
        _refresh_sizes(module)
    _set_counts(unet, architecture)
    for gate, column in architecture.space.depth_columns():
        if not architecture.keep[column]:
            is_resnet = hasattr(unet.get_submodule(gate.module), "conv1")
            unet.set_submodule(
                gate.module, SkippedResnet(gate.channels) if is_resnet else SkippedTransformer()
            )


def _set_counts(unet: nn.Module, architecture: Architecture) -> None:
    """Set the numbers that modules keep beside their weights: GroupNorm groups and attention heads."""
    for group, kept in _surviving_groups(architecture):
        module: Any = unet.get_submodule(group.module)
        if group.kind is Kind.RESNET:
            module.norm2.num_groups = kept
        elif group.kind in (Kind.SELF_ATTENTION, Kind.CROSS_ATTENTION):
            module.heads = module.sliceable_head_dim = kept
            module.inner_dim = module.inner_kv_dim = kept * group.chunk


def _surviving_groups(architecture: Architecture) -> Iterator[tuple[WidthGroup, int]]:
    for group, columns in architecture.space.columns():
        if not _below(group.module, architecture.dropped):
            yield group, int(architecture.keep[columns].sum())


def _refresh_sizes(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        module.out_channels, module.in_channels = module.weight.shape[:2]
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.GroupNorm):
        module.num_channels = module.weight.shape[0]


def sliced_state(dense: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
    """Return the state of the sliced UNet, as copies out of the dense UNet's."""
    maps = index_maps(architecture, {name: tensor.shape for name, tensor in dense.items()})
    state = {}
    for name, tensor in dense.items():
        if not _below(name, architecture.dropped):
            dim, index = maps.get(name, (0, None))
            state[name] = tensor.clone() if index is None else tensor.index_select(dim, index)
    return state


def scattered_state(
    expert: Mapping[str, Tensor], dense: Mapping[str, Tensor], architecture: Architecture
) -> dict[str, Tensor]:
    """Return the inverse of slicing: `expert`'s tensors written into copies of `dense`'s.

    Under the gates of `architecture` a supernet with this state computes exactly what the expert computes.
    Raises SpaceError where an expert's tensor does not have the shape that its architecture gives it.
    """
    shapes = {name: tensor.shape for name, tensor in dense.items()}
    check_shapes({name: tensor.shape for name, tensor in expert.items()}, architecture, shapes)
    maps = index_maps(architecture, shapes)
    state = {}
    for name, tensor in dense.items():
        if name not in expert:
            state[name] = tensor.clone()
        elif name in maps:
            state[name] = tensor.clone().index_copy_(maps[name][0], maps[name][1], expert[name])
        else:
            state[name] = expert[name].clone()
    return state


def check_shapes(
    found: Mapping[str, torch.Size], architecture: Architecture, dense: Mapping[str, torch.Size]
) -> None:
    """Raise SpaceError, naming the first tensor that is missing, extra or misshapen for `architecture`."""
    expected = sliced_shapes(architecture, dense)
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            raise SpaceError(f"{name} is missing: the architecture wants {list(expected[name])}")
        if name not in expected:
            raise SpaceError(f"{name} is not part of this architecture")
        if tuple(found[name]) != tuple(expected[name]):
            raise SpaceError(f"{name} is {list(found[name])}; the architecture wants {list(expected[name])}")


def _below(name: str, ancestors: tuple[str, ...]) -> bool:
    return any(name == ancestor or name.startswith(ancestor + ".") for ancestor in ancestors)
