"""optimum's pipeline over ONNX Runtime, exported from the checkpoint when it is loaded.

It pins versions of its own, so it is best run from an environment of its own: `--peer-python optimum=PYTHON`.
Among them are releases of transformers that know a CLIP tokenizer by `vocab.json` and `merges.txt` alone.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.peers import eager
from bench.peers.protocol import Arrays

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class Peer(eager.Peer):
    """A peer in float32, on the provider that belongs to the device."""

    packages = ("optimum", "optimum-onnx", "onnxruntime", "torch", "diffusers")

    def load(self, task: Mapping[str, Any]) -> None:
        from onnxruntime import SessionOptions
        from optimum.onnxruntime import ORTStableDiffusionPipeline

        options = SessionOptions()
        options.intra_op_num_threads = task["threads"] or 0
        with tempfile.TemporaryDirectory() as scratch:
            pipeline = ORTStableDiffusionPipeline.from_pretrained(
                _with_vocabulary(Path(task["checkpoint"]), Path(scratch)),
                export=True,
                provider=PROVIDERS[task["device"]],
                session_options=options,
                local_files_only=True,
            )
        self._pipeline = self.scheduled(pipeline)

    def take(self, inputs: Arrays) -> None:
        import torch

        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
        self._sample, self._text = tensors["sample"], tensors["encoder_hidden_states"]
        self._timestep = tensors["timestep"][0]  # its graph takes one for the whole batch

    def step(self) -> None:
        # With I/O binding it writes what it predicts over what it was given.
        sample = self._sample.clone()
        self._output = self._pipeline.unet(sample, self._timestep, self._text, return_dict=False)[0]


def _with_vocabulary(checkpoint: Path, scratch: Path) -> str:
    """Return the checkpoint, in links, with the tokenizer's vocabulary and merges in files of their own."""
    for part in checkpoint.iterdir():
        if part.name != "tokenizer":
            (scratch / part.name).symlink_to(part.resolve())
    tokenizer = scratch / "tokenizer"
    tokenizer.mkdir()
    for file in (checkpoint / "tokenizer").iterdir():
        (tokenizer / file.name).symlink_to(file.resolve())
    model = json.loads((tokenizer / "tokenizer.json").read_text())["model"]
    (tokenizer / "vocab.json").unlink(missing_ok=True)
    (tokenizer / "vocab.json").write_text(json.dumps(model["vocab"]))
    (tokenizer / "merges.txt").unlink(missing_ok=True)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    (tokenizer / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    return str(scratch)
