"""The weights of a published expert, renamed and cut to our layout.

Files hold them already sliced, or full with a code to cut them by: shapes tell which. Refused are mixtures of
the two, and files in which just the tensors that were cut bear no likeness to the pipeline's. The published
code, from 14 June 2024 on, leaves exactly those random where it loads an expert from the dense weights.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from aptp.convert import tensors
from aptp.model.slicer import check_shapes, index_maps, sliced_state
from aptp.space.architecture import Architecture
from runtime.errors import CheckpointError, SpaceError

UNLIKE, LIKE = 0.1, 0.5  # cosines with the pipeline's own weights: of chance, and of fine-tuning
ENOUGH = 1024  # numbers of a tensor from which chance stays below `UNLIKE`


class PublishedWeights(NamedTuple):
    """A published expert's weights.

    `state`: as the architecture wants it. `full`: whether the file held the pruned channels too. `likeness`:
    the median cosine of its tensors with the pipeline's.
    """

    state: dict[str, Tensor]
    full: bool
    likeness: float


def read_weights(path: Path, architecture: Architecture, dense: Mapping[str, Tensor]) -> PublishedWeights:
    """Read the expert in `path`, cut by `architecture` from a UNet of the state `dense`.

    Raises CheckpointError for tensors that fit neither the sliced nor the dense UNet.
    """
    shapes = {name: tensor.shape for name, tensor in dense.items()}
    found = {name: torch.Size(shape) for name, shape in tensors.read_shapes(path).items()}
    full = found == shapes
    if not full:
        try:
            check_shapes(found, architecture, shapes)
        except SpaceError as error:
            raise CheckpointError(
                f"{path} is neither the sliced expert nor a full UNet, as a whole: {error}"
            ) from error
    state = tensors.read_all(path)
    if full:
        state = sliced_state(state, architecture)
    cut = index_maps(architecture, shapes).keys()
    return PublishedWeights(state, full, _likeness(path, state, sliced_state(dense, architecture), cut))


def _likeness(
    path: Path, state: Mapping[str, Tensor], own: Mapping[str, Tensor], cut: Iterable[str]
) -> float:
    cosines = {
        name: float(F.cosine_similarity(state[name].flatten().float(), own[name].flatten().float(), dim=0))
        for name in state
        if own[name].ndim > 1 and own[name].numel() >= ENOUGH
    }
    smaller = [cosine for name, cosine in cosines.items() if name in cut]
    others = [cosine for name, cosine in cosines.items() if name not in cut]
    if smaller and others and _median(smaller) < UNLIKE and _median(others) > LIKE:
        raise CheckpointError(
            f"{path}: the {len(smaller)} tensors that were cut are as unlike the pipeline's as random ones "
            f"(median cosine {_median(smaller):.2f}), the others are not ({_median(others):.2f}): the expert "
            "was never loaded whole before it was saved"
        )
    return _median([*smaller, *others])


def _median(values: list[float]) -> float:
    return float(torch.tensor(values).median()) if values else float("nan")
