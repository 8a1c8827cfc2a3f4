"""The weight files of a component's folder: which of them a library would read, and what numbers they hold.

Plain files come before those of a variant (`model.fp16.safetensors`), as in diffusers; the only variant of a
folder without plain files is read. Weights may be in one file or in shards with their index. Pickles are not
read.
"""

import re
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import torch
from safetensors import safe_open

from aptp.components.boundary import reading
from aptp.components.config_file import read_config, refuse_pointer
from runtime.errors import CheckpointError

# What we store weights as, by safetensors' names; numbers of other kinds are read as float32.
DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}
FLOATS = ("F", "BF")
PICKLES = (".bin", ".ckpt", ".pt", ".pth")
CONVERT = (
    "of sources that you trust, diffusers makes safetensors: "
    "`DiffusionPipeline.from_pretrained(DIR, use_safetensors=False).save_pretrained(NEW)`"
)


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """The files that hold a component's weights. `variant`: the `fp16` of `model.fp16.safetensors`; None for
    plain files.
    """

    paths: tuple[Path, ...]
    variant: str | None = None


def find_weights(folder: Path, stem: str) -> WeightFiles:
    """Find the safetensors in `folder` whose names begin with `stem`. Raises CheckpointError, with a way
    out.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: there is no such folder; fetch the pipeline again, whole")
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    name = re.escape(stem)
    found = [re.fullmatch(rf"{name}(?:\.([\w-]+?))?\.safetensors", each) for each in names]
    indexes = [re.fullmatch(rf"{name}\.safetensors\.index(?:\.([\w-]+))?\.json", each) for each in names]
    single = {match[1]: match[0] for match in found if match and not _is_shard(match[0])}
    sharded = {match[1]: match[0] for match in indexes if match}
    variant = _chosen(folder, {*single, *sharded}, names)
    if variant in single and variant in sharded:
        raise CheckpointError(
            f"{folder} holds {single[variant]} and {sharded[variant]}, and libraries differ in which they "
            "read: remove one of them"
        )
    paths = (folder / single[variant],) if variant in single else _shards(folder, folder / sharded[variant])
    for path in paths:
        refuse_pointer(path)
    return WeightFiles(paths, variant)


def stored_dtype(weights: WeightFiles) -> torch.dtype | None:
    """Return the one dtype that holds all floating numbers of these files exactly; None where they have none.

    Raises CheckpointError for files that are no safetensors.
    """
    kinds: set[str] = set()
    for path in weights.paths:
        hint = "is not a whole safetensors file; fetch it again"
        with reading(f"{path} {hint}"), safe_open(path, framework="pt") as file:
            kinds.update(file.get_slice(name).get_dtype() for name in file.keys())  # noqa: SIM118 (no dict)
    floats = [DTYPES.get(kind, torch.float32) for kind in kinds if kind.startswith(FLOATS)]
    return reduce(torch.promote_types, floats) if floats else None


def _is_shard(name: str) -> bool:
    return re.search(r"-\d{5}-of-\d{5}", name) is not None


def _chosen(folder: Path, variants: set[str | None], names: set[str]) -> str | None:
    """Return which variant to read: the plain one, or the only one."""
    if None in variants:
        return None
    if len(variants) > 1:
        listed = ", ".join(sorted(map(str, variants)))
        raise CheckpointError(
            f"{folder} holds no plain weights but several variants: {listed}; remove all but one"
        )
    if not variants:
        raise CheckpointError(f"{folder} holds no weights that can be read: {_absence(names)}")
    return variants.pop()


def _absence(names: set[str]) -> str:
    if any(name.endswith(".safetensors") and _is_shard(name) for name in names):
        return "its shards have no index; fetch …safetensors.index.json, too"
    if pickles := sorted(name for name in names if name.endswith(PICKLES)):
        return f"{pickles[0]} is a pickle, which can run code, and no safetensors are beside it; {CONVERT}"
    others = sorted(name for name in names if name != "config.json")
    told = f"it holds {', '.join(others[:3])}" if others else "it holds none"
    return f"{told}; fetch the pipeline again, with its .safetensors files"


def _shards(folder: Path, index: Path) -> tuple[Path, ...]:
    listed = read_config(index).get("weight_map")
    with reading(f"{index} is no index of shards"):
        assert isinstance(listed, dict)
        names = sorted(set(listed.values()))
        assert names
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            raise CheckpointError(f"{folder}: there is no {name}, which {index.name} lists; fetch it again")
    return tuple(folder / name for name in names)
