"""Random weights whose cost and numerics are those of trained ones: nothing is zero, nothing explodes."""

import torch
from torch import nn


@torch.no_grad()
def randomise(module: nn.Module, generator: torch.Generator) -> None:
    """Fill a module with fan-in scaled normal weights, norm gains 1 ± 0.1, biases ± 0.1, in parameter order.

    Drawn in float32 one tensor at a time, whatever the module's own dtype.
    """
    for name, parameter in module.named_parameters():
        values = torch.empty(parameter.shape).normal_(generator=generator)
        if parameter.ndim >= 2:
            fan_in = 1 if "embedding" in name and "linear" not in name else values[0].numel()
            values.mul_(fan_in**-0.5)
        elif name.endswith("weight"):
            values.mul_(0.1).add_(1)
        else:
            values.mul_(0.1)
        parameter.copy_(values)
