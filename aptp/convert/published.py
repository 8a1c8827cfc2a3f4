"""The authors' folder: what its predictor and its code table hold, and which variants are refused.

`hypernet` is one linear map per group of gates and one for all depth gates; `quantizer` holds the codes, as
learned (`embedding`) and as last sampled (`embedding_gs`). The sample is what experts were cut by and what
prompts are compared with.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from aptp.convert import layout
from aptp.convert.experts import PublishedExpert, experts
from aptp.convert.layout import Structure
from aptp.convert.published_model import CONFIG, WEIGHTS, ModelFolder
from runtime.errors import CheckpointError

FILES = (f"hypernet/{WEIGHTS}", f"quantizer/{WEIGHTS}")
MOST_CODES, WIDEST = 1024, 1 << 16


@dataclass(frozen=True, slots=True)
class Published:
    """The authors' predictor, codes and experts.

    `weight` [D, E] and `bias` [D]: the predictor, whose last rows are the scores of depth ranks. `gates` [K,
    D]: the codes as soft gates. `order`: for each rank, the depth gate it decides. `experts`: by code.
    """

    structure: Structure
    weight: Tensor
    bias: Tensor
    gates: Tensor
    order: tuple[int, ...]
    temperature: float
    offset: float
    experts: tuple[PublishedExpert, ...]


def read(root: Path) -> Published:
    """Read everything but the experts' weights. Raises CheckpointError, naming the file."""
    quantizer, hypernet = ModelFolder(root / "quantizer"), ModelFolder(root / "hypernet")
    quantizer.insist(non_zero_width=True, resource_aware_normalization=False)
    hypernet.insist(wn_flag=False, linear_bias=True, single_arch_param=False)
    structure, other = (
        layout.parse(model.value("structure"), str(model.path / CONFIG)) for model in (quantizer, hypernet)
    )
    if structure != other:
        raise CheckpointError(f"{root}: the structures of hypernet and quantizer differ")
    gates = _gates(quantizer, structure)
    weight, bias = _predictor(hypernet, structure)
    return Published(
        structure=structure,
        weight=weight,
        bias=bias,
        gates=gates,
        order=_order(quantizer, structure.depths),
        temperature=quantizer.number("temperature", 1e-3, 1e3),
        offset=quantizer.number("base", -1e3, 1e3),
        experts=experts(root, gates),
    )


def _gates(quantizer: ModelFolder, structure: Structure) -> Tensor:
    shape = quantizer.number("n_e", 1, MOST_CODES, int), sum(structure.groups) + structure.depths
    gates = quantizer.tensors({"embedding.weight": shape, "embedding_gs": shape})["embedding_gs"]
    if gates.min() < 0 or gates.max() > 1:
        raise CheckpointError(
            f"{quantizer.path / WEIGHTS}: embedding_gs goes from {gates.min():.3g} to {gates.max():.3g}; "
            "gates lie between 0 and 1"
        )
    return gates


def _predictor(hypernet: ModelFolder, structure: Structure) -> tuple[Tensor, Tensor]:
    width = hypernet.number("input_dim", 1, WIDEST, int)
    sizes = [*structure.groups, structure.depths]
    shapes: dict[str, tuple[int, ...]] = {}
    for i, size in enumerate(sizes):
        shapes |= {f"mh_fc.{i}.weight": (size, width), f"mh_fc.{i}.bias": (size,)}
    found = hypernet.tensors(shapes)
    weights, biases = ([found[f"mh_fc.{i}.{part}"] for i in range(len(sizes))] for part in ("weight", "bias"))
    return torch.cat(weights), torch.cat(biases)


def _order(quantizer: ModelFolder, depths: int) -> tuple[int, ...]:
    """Return the depth gates by rank. Indices in the config may count from the end."""
    found = quantizer.value("depth_order")
    order = list(range(depths)) if found is None else found
    if isinstance(order, list) and len(order) == depths and all(type(place) is int for place in order):
        places = tuple(place % depths for place in order)
        if len(set(places)) == depths:
            return places
    raise quantizer.error("depth_order", f"an order of its {depths} depth gates")
