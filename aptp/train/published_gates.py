"""Width gates in their published places, for comparison.

A resnet's gate multiplies norm2's input, where GroupNorm cancels a soft gate and leaks the bias of a closed
one; an attention's multiplies queries, keys and values; a feed-forward's both halves before their product.
The masked network is then not the sliced one.
"""

from torch import Tensor, nn

from aptp.model.gates import GatedUNet
from aptp.space.groups import Kind, WidthGroup


class PublishedGates(GatedUNet):
    """A GatedUNet whose width gates act where the published code has them."""

    def _gate_width(self, group: WidthGroup, columns: slice) -> None:
        module = self.unet.get_submodule(group.module)

        def mask(like: Tensor) -> Tensor:
            return self._current(like)[:, columns].repeat_interleave(group.chunk, dim=1)  # [B, channels]

        def before(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return (args[0] * mask(args[0])[:, :, None, None], *args[1:])

        def after(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            halves = output.shape[-1] // (group.gates * group.chunk)  # 2 for GEGLU's value and gate
            return output * mask(output).repeat(1, halves)[:, None, :]

        if group.kind is Kind.RESNET:
            module.get_submodule("norm2").register_forward_pre_hook(before)
        elif group.kind is Kind.FEED_FORWARD:
            module.get_submodule("net.0.proj").register_forward_hook(after)
        else:
            for name in ("to_q", "to_k", "to_v"):
                module.get_submodule(name).register_forward_hook(after)
