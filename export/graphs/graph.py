"""Write a torch module as a bundle's ONNX files: traced once, cleaned, written with one or two variants.

What is written depends on the module and the versions of torch and onnx alone: no metadata, source lines or
paths of the exporter survive, names are counted, protobuf is serialised deterministically. Refuses nothing by
itself; that the graph computes what the module computes is the business of `export.parity`.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from export.graphs import weights

# diffusers' up-sampling copies to contiguous memory from this batch on, which is a branch the tracer has to
# exclude; the graph itself holds for any batch.
_TRACED_BATCHES = 63
_TRACED_MULTIPLES = 512
OPSET = 20
CONSTANT = "constant_"  # begins the names of what a graph holds besides its module's parameters


@dataclass(frozen=True, slots=True)
class Signature:
    """The signature of a graph: inputs (name → an example), output, and free axes (input → axis → its name).

    `height` and `width` are multiples of `multiple`; the output's axes are named like `output_axes` says.
    `others` are outputs that follow it, none of whose axes is free.
    """

    inputs: Mapping[str, Tensor]
    output: str
    axes: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    output_axes: Mapping[int, str] = field(default_factory=dict)
    multiple: int = 1
    others: tuple[str, ...] = ()


class EncoderGraph(nn.Module):
    """A text encoder as a module: input_ids [1, L] → last_hidden_state [1, L, E]."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor) -> Tensor:
        output: Tensor = self.encoder(input_ids=input_ids, return_dict=False)[0]
        return output


class PromptEncoderGraph(nn.Module):
    """A prompt encoder as a module: input_ids [1, L], attention_mask [1, L] → last_hidden_state [1, L, E]."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        output: Tensor = self.encoder(input_ids=input_ids, attention_mask=attention_mask)[0]
        return output


class DecoderGraph(nn.Module):
    """A decoder as a module: latent_sample [B, C, H, W], unscaled → sample [B, 3, scale·H, scale·W]."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, latent_sample: Tensor) -> Tensor:
        output: Tensor = self.vae.decode(latent_sample, return_dict=False)[0]
        return output


def decoder_signature(channels: int, multiple: int) -> Signature:
    """Return the input of a decoder; its output's sides are a multiple of the latents' and stay unnamed but
    for the batch.
    """
    return Signature(
        inputs={"latent_sample": torch.zeros(2, channels, 4 * multiple, 6 * multiple)},
        output="sample",
        axes={"latent_sample": {0: "batch", 2: "height", 3: "width"}},
        output_axes={0: "batch", 2: "image_height", 3: "image_width"},
        multiple=multiple,
    )


def write_graph(module: nn.Module, signature: Signature, folder: Path, *, inline: bool = False) -> list[str]:
    """Write `module` to `folder` and return the file names.

    With `inline` that is one float32 file, else two variants over one file of float16 weights
    (`export.graphs.weights`).
    """
    model = trace(module, signature)
    if inline:
        save(model, folder / weights.GRAPH)
        return [weights.GRAPH]
    extents = weights.write_halves([model], folder / weights.WEIGHTS)
    weights.refer_to_floats(model, extents)
    save(model, folder / weights.SERVE)
    weights.refer_to_halves(model, extents)
    save(model, folder / weights.GRAPH)
    return [weights.GRAPH, weights.WEIGHTS, weights.SERVE]


def trace(module: nn.Module, signature: Signature) -> ir.Model:
    """Return the clean graph of `module`; its initializers still refer to the module's own tensors."""
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            tuple(signature.inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(signature.inputs),
            output_names=[signature.output, *signature.others],
            dynamic_shapes=_dynamic_shapes(signature),
            verify=False,
            verbose=False,
        )
    assert program is not None, "the dynamo exporter returns a program"
    model = program.model
    _strip(model)
    _name_axes(model, signature)
    weights.store_as_multiplied(model)
    _rename(model, module)
    return model


def _dynamic_shapes(signature: Signature) -> dict[str, dict[int, Any]] | None:
    if not signature.axes:
        return None
    batch = torch.export.Dim("batch", max=_TRACED_BATCHES)
    sides = {
        name: torch.export.Dim(f"{name}_steps", min=2, max=_TRACED_MULTIPLES) for name in ("height", "width")
    }
    dims = {"batch": batch, **{name: signature.multiple * side for name, side in sides.items()}}
    return {name: {axis: dims[what] for axis, what in axes.items()} for name, axes in signature.axes.items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what torch's exporter says about its own internals; nothing in it is for the user
    of a build.
    """
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _strip(model: ir.Model) -> None:
    """Remove whatever tells of the builder: a plain export carries thousands of lines of its local paths."""
    model.producer_name = model.producer_version = model.domain = model.doc_string = None
    model.metadata_props.clear()
    graph = model.graph
    graph.name, graph.doc_string = "main", None
    graph.metadata_props.clear()
    graph.opset_imports.update({"": OPSET})
    for domain in [domain for domain in graph.opset_imports if domain]:
        del graph.opset_imports[domain]
    for node in graph.all_nodes():
        assert node.domain in ("", "ai.onnx"), f"{node.op_type} of domain {node.domain} is not portable"
        node.doc_string = None
        node.metadata_props.clear()
        for value in node.outputs:
            value.doc_string = None
            value.metadata_props.clear()
            if not value.is_graph_output():
                # Inferred shapes speak of the tracer's own symbols, which would contradict a pinned
                # dimension.
                value.shape, value.type = None, None
    for value in [*graph.inputs, *graph.outputs, *graph.initializers.values()]:
        value.doc_string = None
        value.metadata_props.clear()


def _name_axes(model: ir.Model, signature: Signature) -> None:
    for value in model.graph.inputs:
        axes = signature.axes.get(value.name or "", {})
        value.shape = ir.Shape(
            [axes.get(axis, size) for axis, size in enumerate(signature.inputs[value.name].shape)]
        )
    output = model.graph.outputs[0]
    assert output.shape is not None, "the exporter knows its outputs' shapes"
    output.shape = ir.Shape([signature.output_axes.get(axis, size) for axis, size in enumerate(output.shape)])


def _rename(model: ir.Model, module: nn.Module) -> None:
    """Count nodes and values anew, so that no counter of the exporter shows; parameters keep their path, less
    the name that a wrapper gives the one module in it.
    """
    graph = model.graph
    paths = {name for name, _ in [*module.named_parameters(), *module.named_buffers()]}
    children = [name for name, _ in module.named_children()]
    wrapper = f"{children[0]}." if all(path.startswith(f"{children[0]}.") for path in paths) else ""
    for index, name in enumerate(list(graph.initializers)):
        value = graph.initializers[name]
        value.name = name.removeprefix(wrapper) if name in paths else f"{CONSTANT}{index}"
    number(graph)


def number(graph: ir.Graph) -> None:
    """Name nodes and values by their place in the graph; inputs and outputs keep theirs."""
    kept = {value.name for value in [*graph.inputs, *graph.outputs]}
    for index, node in enumerate(graph):
        node.name = f"{node.op_type}_{index}"
        for place, value in enumerate(node.outputs):
            if value.name not in kept:
                value.name = f"v{index}" if place == 0 else f"v{index}_{place}"


def save(model: ir.Model, path: Path) -> None:
    """Write the same bytes for the same graph, however it was made."""
    proto = ir.to_proto(model)
    # It says nothing but the initializers' shapes once more, and tools that transpose those trip over it.
    del proto.graph.value_info[:]
    path.write_bytes(proto.SerializeToString(deterministic=True))
