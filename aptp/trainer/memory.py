"""The memory that a training holds, counted before it begins and compared with what is there."""

from dataclasses import astuple, dataclass, replace

import torch
from torch import nn

from aptp.trainer.learner import Learner
from aptp.trainer.recipe import Recipe
from runtime.errors import EnvironmentMismatch
from runtime.machine.memory import whole

GIB = 2**30
BLOCK, LEAST = 256, 4096  # 8-bit moments: numbers with one scale, and in the smallest tensor that has them


@dataclass(frozen=True, slots=True)
class Footprint:
    """The bytes that a training holds from its first step to its last; activations come on top.

    `frozen`: parameters that are not trained, and buffers. `weights`, `gradients`, `moments`, `average`: of
    those that are.
    """

    frozen: int
    weights: int
    gradients: int
    moments: int
    average: int

    @property
    def total(self) -> int:
        return sum(astuple(self))

    @property
    def state(self) -> int:
        """The size of a resume state."""
        return self.weights + self.moments + self.average

    def __str__(self) -> str:
        parts = ", ".join(f"{getattr(self, name) / GIB:.1f} {name}" for name in self.__slots__)
        return f"{self.total / GIB:.1f} GiB before activations ({parts})"


def footprint(learner: Learner, recipe: Recipe) -> Footprint:
    """Count what training `learner` by `recipe` holds; on the meta device as well."""
    trained = learner.trained().values()
    known = {id(parameter) for parameter in trained}
    rest = [p for p in learner.parameters() if id(p) not in known]
    weights = sum(map(_bytes, trained))
    return Footprint(
        frozen=sum(map(_bytes, [*rest, *learner.buffers()])),
        weights=weights,
        gradients=weights,
        moments=sum(_moments(parameter, recipe.optimizer) for parameter in trained),
        average=weights if recipe.average else 0,
    )


def check_memory(learner: Learner, recipe: Recipe, device: torch.device) -> str:
    """Return a line on what the training needs and what there is. Raises EnvironmentMismatch where it cannot
    fit, whatever its activations take.
    """
    needed = footprint(learner, recipe)
    there = _free(device) if device.type == "cuda" else whole()
    if needed.total > there:
        ways = ["take a machine with more memory"]
        if footprint(learner, replace(recipe, optimizer="adamw8bit")).total < needed.total:
            ways.insert(0, "take --optimizer adamw8bit")
        if len(learner.clipped()) > 1:  # of experts, each has its own gradient
            ways.insert(0, "train fewer experts at once (--codes)")
        raise EnvironmentMismatch(
            f"this training needs {needed}, and {device.type} has {there / GIB:.1f} GiB: {', or '.join(ways)}"
        )
    return f"memory: {needed}, of {there / GIB:.1f} GiB"


def _free(device: torch.device) -> int:
    """Return the bytes that this process may still use: those of nobody, and what its allocator keeps."""
    return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _moments(parameter: nn.Parameter, optimizer: str) -> int:
    numbers = parameter.numel()
    if optimizer == "adamw" or numbers < LEAST:
        return 8 * numbers
    return 2 * numbers + 8 * -(-numbers // BLOCK)
