"""Exchanges between the processes of one run, which train on shares of the same batch.

Each process minimises the same function of the whole batch; gradients are averaged over processes. So what a
process gathers carries, for its own rows, the gradient of all processes' losses: their number times its own.
Alone, everything here is the identity.
"""

from collections.abc import Mapping

import torch
import torch.distributed as dist
from accelerate import PartialState
from torch import Tensor

from runtime.errors import UsageError


def join() -> torch.device:
    """Meet the processes that a launcher started beside this one, and return this one's device."""
    found: torch.device = PartialState(cpu=not torch.accelerator.is_available()).device
    return found


def count() -> int:
    return dist.get_world_size() if _several() else 1


def rank() -> int:
    return dist.get_rank() if _several() else 0


def leads() -> bool:
    """Return whether this is the one that writes and reports."""
    return rank() == 0


def share(batch: int) -> range:
    """Return this process's rows of every batch. Raises UsageError where it cannot be shared evenly."""
    each, left = divmod(batch, count())
    if left:
        raise UsageError(
            f"a batch of {batch} cannot be shared by {count()} processes: "
            "give --train-batch a multiple of their number"
        )
    return range(rank() * each, (rank() + 1) * each)


def gathered(local: Tensor) -> Tensor:
    """Return the rows of every process [processes · B, …], in order."""
    if not _several():
        return local
    parts = [torch.empty_like(local) for _ in range(count())]
    dist.all_gather(parts, local.detach().contiguous())
    # The value of `local`, and `count` times its gradient: the average over processes divides by that.
    parts[rank()] = local.detach() + count() * (local - local.detach())
    return torch.cat(parts)


def own(everyone: Tensor, rows: int) -> Tensor:
    """Return this process's `rows` of what `gathered` gave."""
    return everyone[rank() * rows : (rank() + 1) * rows]


def total(local: Tensor) -> Tensor:
    """Return the sum over processes, without gradient."""
    if not _several():
        return local.detach()
    summed = local.detach().clone()
    dist.all_reduce(summed)
    return summed


def mean(figures: Mapping[str, Tensor]) -> dict[str, float]:
    """Return scalars averaged over processes, all of which must have the same names."""
    if not _several():
        return {name: value.item() for name, value in figures.items()}
    together = total(torch.stack([value.detach().float() for value in figures.values()])) / count()
    return dict(zip(figures, together.tolist(), strict=True))


def any_of(flag: bool, device: torch.device) -> bool:
    """Return whether it holds for any process; all of them then know it at the same step."""
    return bool(total(torch.tensor(float(flag), device=device))) if _several() else flag


def _several() -> bool:
    return dist.is_available() and dist.is_initialized()
