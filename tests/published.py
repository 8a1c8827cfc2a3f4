"""A folder as the method's authors publish theirs, made up for a UNet of any geometry."""

import json
import re
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor

from aptp.model.slicer import sliced_state
from aptp.space.architecture import Architecture
from aptp.space.discover import discover
from aptp.space.groups import Space

WEIGHTS = "diffusion_pytorch_model.safetensors"


def write_published(folder: Path, unet: UNet2DConditionModel, suited: Tensor) -> Path:
    """Writes the folder, and gives it. It has a code for each averaged prompt of `suited` [K, E], with the
    gates that its predictor gives that prompt; its experts are slices of `unet` that have moved a little.
    """
    rng = torch.Generator().manual_seed(0)
    space = discover(unet)
    weight = 4 * torch.randn(space.size, suited.shape[1], generator=rng)
    bias = -weight @ suited.mean(0) - 3
    gates = torch.stack([soft_gates(space, weight @ prompt + bias, rng) for prompt in suited])
    _write_models(folder, space, gates, weight, bias)
    for code, row in enumerate(gates):
        expert = folder / f"arch{code}"
        state = {
            name: tensor + 0.05 * tensor.float().std().nan_to_num() * torch.randn(tensor.shape, generator=rng)
            for name, tensor in sliced_state(unet.state_dict(), architecture(space, row)).items()
        }
        (expert / "checkpoint-30000" / "unet").mkdir(parents=True)
        save_file(state, expert / "checkpoint-30000" / "unet" / WEIGHTS)
        torch.save(row.unsqueeze(0), expert / "arch_vector.pt")
    return folder


def soft_gates(space: Space, scores: Tensor, rng: torch.Generator) -> Tensor:
    """[D]: a code's sample, without noise but for its depths, which are random."""
    gates = torch.sigmoid((scores + 3) / 0.4)
    gates[space.width_gates :] = torch.rand(len(space.depths), generator=rng)
    for _, columns in space.columns():
        if gates[columns].max() < 0.5:
            gates[columns.start] += 0.5
    return gates


def architecture(space: Space, gates: Tensor) -> Architecture:
    return Architecture(space, (gates >= 0.5).numpy())


def structure(space: Space) -> dict[str, Any]:
    """The gates of each sublayer's groups, and [1] where it may be skipped."""
    owned = groupby(space.widths, lambda group: re.findall(r".*(?:resnets|attentions)\.\d+", group.module)[0])
    sublayers = {name: [group.gates for group in groups] for name, groups in owned}
    skippable = [gate.module for gate in space.depths]
    return {"width": list(sublayers.values()), "depth": [[int(name in skippable)] for name in sublayers]}


def depth_order(space: Space) -> list[int]:
    """Some order of the depth gates that is not its own inverse, told from the end where that is shorter."""
    count = len(space.depths)
    order = [(i + count // 2 + 1) % count for i in range(count)]
    return [place if place <= count // 2 else place - count for place in order]


def _write_models(folder: Path, space: Space, gates: Tensor, weight: Tensor, bias: Tensor) -> None:
    sizes = [*(group.gates for group in space.widths), len(space.depths)]
    predictor = {}
    for i, (rows, entries) in enumerate(zip(weight.split(sizes), bias.split(sizes), strict=True)):
        predictor[f"mh_fc.{i}.weight"], predictor[f"mh_fc.{i}.bias"] = rows.clone(), entries.clone()
    _write_model(
        folder / "hypernet",
        predictor,
        _class_name="HyperStructure",
        structure=structure(space),
        input_dim=weight.shape[1],
        wn_flag=False,
        linear_bias=True,
        single_arch_param=False,
    )
    _write_model(
        folder / "quantizer",
        {"embedding.weight": torch.logit(gates, eps=1e-3), "embedding_gs": gates},
        _class_name="StructureVectorQuantizer",
        structure=structure(space),
        n_e=len(gates),
        temperature=0.4,
        base=3,
        depth_order=depth_order(space),
        non_zero_width=True,
        resource_aware_normalization=False,
    )


def _write_model(folder: Path, tensors: dict[str, Tensor], **config: Any) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    save_file(tensors, folder / WEIGHTS)
