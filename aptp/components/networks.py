"""A pipeline's networks, read from their folders: whole, or refused by the names of their tensors.

Libraries give random values to a tensor that a file lacks, and drop tensors that they do not know. They
report both on request, and both are refused here: a dropped LoRA changes images as random values do.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from aptp.components.boundary import reading
from aptp.components.config_file import read_config
from aptp.components.weight_files import find_weights, stored_dtype
from runtime.errors import CheckpointError

DIFFUSERS, TRANSFORMERS = "diffusion_pytorch_model", "model"
TOLD = 3  # names of tensors in a message
# What a CLIP has beside its text model; a file may hold the whole of it.
BESIDE_TEXT = r"vision_model\..*|visual_projection\..*|text_projection\..*|logit_scale|.*position_ids"
PROBLEMS = {
    "missing_keys": "lacks",
    "unexpected_keys": "has what the model does not know",
    "mismatched_keys": "has in another shape",
    "error_msgs": "could not be loaded",
}


def read_network(kind: Any, folder: Path, dtype: torch.dtype | None = None) -> Any:
    """Read the network of class `kind` in `folder`, in eval mode; by default in the dtype that it is stored
    in.

    Raises CheckpointError, naming tensors, for weights that are not exactly those of its config.
    """
    from_transformers = kind.__module__.startswith("transformers")
    weights = find_weights(folder, TRANSFORMERS if from_transformers else DIFFUSERS)
    if "quantization_config" in read_config(folder / "config.json"):
        raise CheckpointError(
            f"{folder}/config.json: quantization_config: quantized weights cannot be pruned; fetch the "
            "pipeline in float16, bfloat16 or float32"
        )
    stored = dtype or stored_dtype(weights)
    with reading(f"{folder} cannot be loaded as {kind.__name__}"):
        model, report = kind.from_pretrained(
            folder,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # else the error names one tensor, or none
            local_files_only=True,
            use_safetensors=True,
            variant=weights.variant,
            dtype=stored,
        )
    beside = BESIDE_TEXT if from_transformers else ""
    check_complete(folder, report, beside)
    network: nn.Module = model.eval()
    return network


def check_complete(folder: Path, report: Any, ignored: str = "") -> None:
    """Raise CheckpointError, naming tensors, unless a library's loading `report` is clean.

    `ignored`: a regular expression for names that weights may have beside the model's own.
    """
    problems: Mapping[str, Any] = report if isinstance(report, Mapping) else vars(report)
    for problem, words in PROBLEMS.items():
        found = sorted(_name(item) for item in problems.get(problem) or ())
        if problem == "unexpected_keys":
            found = [name for name in found if not re.fullmatch(ignored, name)]
        if found:
            more = f" and {len(found) - TOLD} more" if len(found) > TOLD else ""
            raise CheckpointError(
                f"{folder}: the file {words}: {', '.join(found[:TOLD])}{more}; {_advice(problems)}"
            )


def _name(item: Any) -> str:
    """Return a tensor's name, with its shapes where the report says them."""
    if isinstance(item, tuple) and len(item) == 3:
        name, found, wanted = item
        return f"{name} {list(found)} instead of {list(wanted)}"
    return str(item)


def _advice(problems: Mapping[str, Any]) -> str:
    """Return what to do, guessed from the names of tensors that nobody asked for."""
    names = " ".join(map(str, problems.get("unexpected_keys") or ()))
    if ".base_layer." in names or "lora" in names:
        return (
            "they are those of a LoRA: merge it (pipeline.fuse_lora(), unload_lora_weights()) and save again"
        )
    if re.search(r"\b(module|_orig_mod)\.", names):
        return (
            "its names begin with a wrapper's: save the unwrapped model (model.module, or before compiling)"
        )
    return "the weights are not those of its config.json: fetch the component again, or save it again"
