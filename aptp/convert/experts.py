"""The experts of a published folder, and the code that each was cut by.

`arch0` holds `arch_vector.pt` and `checkpoint-30000/unet/diffusion_pytorch_model.safetensors`. The vector may
also lie in the checkpoint's folder or its unet's, the weights beside the vector; of several checkpoints the
last is taken.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from aptp.convert.published_model import WEIGHTS
from aptp.convert.tensors import read_pickle
from runtime.errors import CheckpointError

VECTOR = "arch_vector.pt"
SAME = 1e-3  # between an expert's vector and its row of the table: both are one sample of one code


@dataclass(frozen=True, slots=True)
class PublishedExpert:
    """A published expert.

    `name`: its folder. `vector` [D]: the soft gates it was cut by. `weights`: a safetensors file.
    """

    name: str
    vector: Tensor
    weights: Path


def experts(root: Path, codes: Tensor) -> tuple[PublishedExpert, ...]:
    """Return the expert of each of `codes` [K, D]: the one that was cut by it, whatever its folder is called.

    Raises CheckpointError where a code has none or several, or an expert has no code.
    """
    found: dict[int, PublishedExpert] = {}
    for expert in _all(root, codes.shape[1]):
        apart = (codes - expert.vector).abs().amax(1)  # [K]
        near = (apart <= SAME).nonzero().flatten().tolist()
        if not near:
            raise CheckpointError(
                f"{root}/{expert.name}/{VECTOR} is none of the quantizer's {len(codes)} codes; it belongs to "
                "another training run"
            )
        free = [code for code in near if code not in found]
        if not free:
            raise CheckpointError(f"{root}: {found[near[0]].name} and {expert.name} are both code {near[0]}")
        found[free[0]] = expert
    missing = [str(code) for code in range(len(codes)) if code not in found]
    if missing:
        raise CheckpointError(
            f"{root} has no expert of code {', '.join(missing)}; every code needs an arch folder"
        )
    return tuple(found[code] for code in range(len(codes)))


def _all(root: Path, size: int) -> Iterator[PublishedExpert]:
    folders = [path for path in root.iterdir() if re.fullmatch(r"arch[-_]?\d+", path.name) and path.is_dir()]
    for folder in sorted(folders, key=_number):
        vector = _find(folder, VECTOR)
        gates = read_pickle(vector).float().flatten()
        if gates.numel() != size:
            raise CheckpointError(f"{vector} has {gates.numel()} gates; the quantizer's codes have {size}")
        yield PublishedExpert(folder.name, gates, _find(folder, WEIGHTS))


def _find(folder: Path, name: str) -> Path:
    checkpoints = [path for path in folder.iterdir() if re.fullmatch(r"checkpoint-\d+", path.name)]
    for place in (*sorted(checkpoints, key=_number, reverse=True), folder):
        for path in (place / "unet" / name, place / name):
            if path.is_file():
                return path
    raise CheckpointError(f"{folder} holds no {name}, neither itself nor in a checkpoint folder")


def _number(path: Path) -> int:
    return int(re.sub(r"\D", "", path.name))
