"""The graphs of an expert: its clock, the rest of it, which we serve, and both as one portable graph.

The rest is traced once: the portable graph is it with the clock's nodes before it, so that what other tools
load and what we serve cannot drift apart, and both read one file of weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import onnx_ir as ir
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from export.graphs import clock, weights
from export.graphs.clock import TIME_EMBEDDING, Clock
from export.graphs.graph import CONSTANT, Signature, number, save, trace

CLOCK = "clock.onnx"


class ExpertGraph(nn.Module):
    """An expert as a module: sample [B, C, H, W], timestep [B], encoder_hidden_states [B, L, E] → out_sample
    [B, C, H, W].

    Added conditions come under diffusers' names.
    """

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(
        self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor, **added: Tensor
    ) -> Tensor:
        conditions = {"added_cond_kwargs": added} if added else {}
        output: Tensor = self.unet(sample, timestep, encoder_hidden_states, return_dict=False, **conditions)[
            0
        ]
        return output


class ServingGraph(nn.Module):
    """An expert without its clock: it takes time_embedding [B, 4·C₀] instead of timestep."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, sample: Tensor, time_embedding: Tensor, encoder_hidden_states: Tensor) -> Tensor:
        output: Tensor = self.unet(sample, time_embedding, encoder_hidden_states, return_dict=False)[0]
        return output


def expert_signature(
    channels: int, multiple: int, length: int, width: int, added: Mapping[str, int] | None = None
) -> Signature:
    """Return the inputs of an expert whose latents have `channels` and whose text has `length` tokens of
    `width`.

    `added`: names and widths of the conditions that its clock takes besides the timestep.
    """
    spatial = {0: "batch", 2: "height", 3: "width"}
    inputs = {
        "sample": torch.zeros(2, channels, 4 * multiple, 6 * multiple),
        "timestep": torch.ones(2),
        "encoder_hidden_states": torch.zeros(2, length, width),
        **{name: torch.zeros(2, size) for name, size in (added or {}).items()},
    }
    return Signature(
        inputs=inputs,
        output="out_sample",
        axes={name: spatial if name == "sample" else {0: "batch"} for name in inputs},
        output_axes=spatial,
        multiple=multiple,
    )


def signatures(expert: Signature, taken: Clock) -> tuple[Signature, Signature]:
    """Return the signatures of the clock and of the rest, for an expert of which it was taken out."""
    rows = {0: "batch"}
    own = {name: one for name, one in expert.inputs.items() if name in clock.INPUTS}
    ticking = Signature(own, TIME_EMBEDDING, dict.fromkeys(own, rows), rows)
    sample, *others = (name for name in expert.inputs if name not in own)
    fed = taken.fed(expert.inputs)
    inputs = {name: fed[name].clone() for name in (sample, TIME_EMBEDDING, *others)}
    axes = {name: expert.axes.get(name, rows) for name in inputs}
    return ticking, replace(expert, inputs=inputs, axes=axes)


def write_expert(unet: UNet2DConditionModel, signature: Signature, folder: Path) -> None:
    """Write an expert to `folder`: its clock, its serving graph, and both joined as the portable graph.

    The clock is taken out of `unet`. Raises Refused, WeightError.
    """
    taken = clock.take_out(unet)
    own, rest = signatures(signature, taken)
    graphs = trace(ServingGraph(unet), rest), trace(taken, own)
    save(graphs[1], folder / CLOCK)
    extents = weights.write_halves(graphs, folder / weights.WEIGHTS)
    weights.refer_to_floats(graphs[0], extents)
    save(graphs[0], folder / weights.SERVE)
    portable = joined(*graphs, list(signature.inputs))
    weights.refer_to_halves(portable, extents)
    save(portable, folder / weights.GRAPH)


def joined(serving: ir.Model, ticking: ir.Model, inputs: Sequence[str]) -> ir.Model:
    """Return `serving` with the clock's graph before it, which is used up; `inputs` in this order."""
    graph, before = serving.graph, ticking.graph
    taken = next(value for value in graph.inputs if value.name == TIME_EMBEDDING)
    for name in list(before.initializers):
        value = before.initializers.pop(name)
        if name.startswith(CONSTANT):  # both number theirs
            value.name = f"clock_{name}"
        graph.register_initializer(value)
    made, nodes = before.outputs[0], list(before)
    before.outputs.clear()
    before.remove(nodes)
    graph.insert_before(graph[0], nodes)
    taken.replace_all_uses_with(made)
    there = {value.name: value for value in (*graph.inputs, *before.inputs)}
    before.inputs.clear()
    graph.inputs[:] = [there[name] for name in inputs]
    number(graph)
    return serving
