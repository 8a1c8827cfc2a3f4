"""Read the pruning space off a diffusers UNet's module tree.

It decides what may be pruned. Blocks it does not know stay dense and are listed; modules whose
slicing would be wrong (fused projections, adapters) are refused by path. Nothing about SD 2.1 is written
here: its 70 groups follow from its modules.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from diffusers import UNet2DConditionModel
from diffusers.models.activations import GEGLU
from diffusers.models.attention import BasicTransformerBlock, FeedForward
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.unets import unet_2d_blocks as blocks
from torch import nn

from aptp.space.groups import DepthGate, Kind, Space, WidthGroup
from runtime.errors import SpaceError, nearest

# Blocks whose forward pass is known to chain its sublayers as the depth gates assume.
DOWN = (blocks.DownBlock2D, blocks.CrossAttnDownBlock2D)
MID = (blocks.UNetMidBlock2D, blocks.UNetMidBlock2DCrossAttn)
UP = (blocks.UpBlock2D, blocks.CrossAttnUpBlock2D)

DepthChoice = Literal["method", "all"] | Sequence[str]


def discover(
    unet: UNet2DConditionModel, *, depth: DepthChoice = "method", feed_forward_gates: int = 32
) -> Space:
    """Return the pruning space of `unet` (weights may be on the meta device).

    `depth` chooses the sublayers that may be skipped: `"method"` takes the last resnet and the last
    transformer of each down and up block, as APTP does, where they have an identity path; `"all"` every
    sublayer that has one; a sequence names module paths. `feed_forward_gates` is the number of chunks of
    each GEGLU product; where it does not divide the width, the largest divisor below it is used.

    Raises SpaceError for modules that cannot be sliced as they are and for depth paths without an identity
    path.
    """
    if feed_forward_gates < 1:
        raise SpaceError(f"feed_forward_gates is {feed_forward_gates}; it must be at least 1")
    survey = _Survey(feed_forward_gates)
    survey.visit(unet)
    depths = survey.choose(depth)
    return Space(
        tuple(survey.widths),
        depths,
        tuple(survey.left_dense),
        feed_forward_gates,
    )


@dataclass(slots=True)
class _Survey:
    feed_forward_gates: int
    widths: list[WidthGroup] = field(default_factory=list)
    candidates: list[DepthGate] = field(default_factory=list)
    last: list[str] = field(default_factory=list)
    left_dense: list[tuple[str, str]] = field(default_factory=list)

    def visit(self, unet: UNet2DConditionModel) -> None:
        flow: Any = None  # channels of the residual stream, None where they are not known
        for path, block, known in _blocks(unet):
            if not isinstance(block, known):
                self.left_dense.append((path, f"{type(block).__name__} is not a block this tool knows"))
                flow = None
                continue
            found = len(self.candidates)
            flow = self.resnets(path, block, flow, in_up=known is UP)
            self.transformers(path, block)
            if known is not MID:
                self.last += self.last_of(path, block, self.candidates[found:])

    @staticmethod
    def last_of(path: str, block: nn.Module, candidates: list[DepthGate]) -> list[str]:
        """Return the method's choice: the block's last resnet and last transformer, where each can be
        skipped.
        """
        lists = [(name, getattr(block, name, None)) for name in ("resnets", "attentions")]
        last = {f"{path}.{name}.{len(found) - 1}" for name, found in lists if found}
        return [gate.module for gate in candidates if gate.module in last]

    def resnets(self, path: str, block: nn.Module, flow: Any, *, in_up: bool) -> Any:
        for i, resnet in enumerate(block.get_submodule("resnets").children()):
            name = f"{path}.resnets.{i}"
            if type(resnet) is not ResnetBlock2D:
                self.left_dense.append((name, f"{type(resnet).__name__} is not a ResnetBlock2D"))
                flow = None
                continue
            self.widths.append(_resnet_group(name, resnet))
            # An up block's resnet also reads a skip tensor, concatenated behind the residual stream.
            main = flow if in_up else resnet.in_channels
            if main == resnet.out_channels and resnet.upsample is None and resnet.downsample is None:
                self.candidates.append(DepthGate(name, main))
            flow = resnet.out_channels
        return flow

    def transformers(self, path: str, block: nn.Module) -> None:
        for i, layer in enumerate(getattr(block, "attentions", None) or ()):
            name = f"{path}.attentions.{i}"
            if layer is None:
                continue
            if type(layer) is not Transformer2DModel:
                self.left_dense.append((name, f"{type(layer).__name__} is not a Transformer2DModel"))
                continue
            for j, inner in enumerate(layer.transformer_blocks):
                self.transformer_block(f"{name}.transformer_blocks.{j}", inner)
            if layer.in_channels == layer.out_channels:
                self.candidates.append(DepthGate(name, layer.out_channels))

    def transformer_block(self, path: str, block: nn.Module) -> None:
        if type(block) is not BasicTransformerBlock:
            self.left_dense.append((path, f"{type(block).__name__} is not a BasicTransformerBlock"))
            return
        for name, kind in (("attn1", Kind.SELF_ATTENTION), ("attn2", Kind.CROSS_ATTENTION)):
            attention = getattr(block, name, None)
            if attention is not None:
                self.attention(f"{path}.{name}", attention, kind)
        self.feed_forward(f"{path}.ff", block.ff)

    def attention(self, path: str, attention: Attention, kind: Kind) -> None:
        if attention.fused_projections:
            raise SpaceError(f"{path} has fused projections; call unet.unfuse_qkv_projections() first")
        if isinstance(attention.processor, nn.Module):
            raise SpaceError(
                f"{path} has the processor {type(attention.processor).__name__} with weights of its own; "
                "remove the adapter (unet.set_default_attn_processor()) first"
            )
        for name in ("to_q", "to_k", "to_v", "to_out.0"):
            _plain(f"{path}.{name}", attention.get_submodule(name), nn.Linear)
        own = (attention.norm_q, attention.norm_k, attention.add_k_proj, attention.spatial_norm)
        if any(part is not None for part in own) or attention.inner_dim != attention.inner_kv_dim:
            self.left_dense.append((path, "normalised, grouped or added keys cannot be sliced by head"))
            return
        chunk = attention.inner_dim // attention.heads
        self.widths.append(WidthGroup(kind, path, attention.heads, chunk))

    def feed_forward(self, path: str, layer: FeedForward) -> None:
        if type(layer.net[0]) is not GEGLU:
            self.left_dense.append((path, f"{type(layer.net[0]).__name__} is not GEGLU"))
            return
        _plain(f"{path}.net.0.proj", layer.net[0].proj, nn.Linear)
        _plain(f"{path}.net.2", layer.net[2], nn.Linear)
        inner = layer.net[2].in_features
        gates = max(n for n in range(1, min(self.feed_forward_gates, inner) + 1) if inner % n == 0)
        self.widths.append(WidthGroup(Kind.FEED_FORWARD, path, gates, inner // gates))

    def choose(self, depth: DepthChoice) -> tuple[DepthGate, ...]:
        by_name = {gate.module: gate for gate in self.candidates}
        names = self.last if depth == "method" else list(by_name) if depth == "all" else list(depth)
        for name in names:
            if name not in by_name:
                raise SpaceError(
                    f"{name} cannot be skipped: it has no identity path in this UNet{nearest(name, by_name)}"
                )
        if len(set(names)) != len(names):
            raise SpaceError(f"a sublayer is named twice among the depth gates: {', '.join(names)}")
        return tuple(gate for gate in self.candidates if gate.module in names)


def _blocks(unet: UNet2DConditionModel) -> Iterator[tuple[str, nn.Module, tuple[type[nn.Module], ...]]]:
    for i, block in enumerate(unet.down_blocks):
        yield f"down_blocks.{i}", block, DOWN
    if unet.mid_block is not None:
        yield "mid_block", unet.mid_block, MID
    for i, block in enumerate(unet.up_blocks):
        yield f"up_blocks.{i}", block, UP


def _resnet_group(path: str, resnet: ResnetBlock2D) -> WidthGroup:
    for name, kind in (("conv1", nn.Conv2d), ("norm2", nn.GroupNorm), ("conv2", nn.Conv2d)):
        _plain(f"{path}.{name}", getattr(resnet, name), kind)
    if resnet.time_emb_proj is not None:
        _plain(f"{path}.time_emb_proj", resnet.time_emb_proj, nn.Linear)
    groups = resnet.norm2.num_groups
    return WidthGroup(Kind.RESNET, path, groups, resnet.norm2.num_channels // groups)


def _plain(path: str, module: nn.Module, kind: type[nn.Module]) -> None:
    # torch.compile and adapters wrap or subclass layers; slicing those would leave half of them behind.
    if type(module) is not kind:
        raise SpaceError(
            f"{path} is a {type(module).__name__}, not a plain {kind.__name__}; merge or remove its wrapper"
        )
