"""optimum's pipeline over ONNX Runtime, exported from the checkpoint when it is loaded.

It pins versions of its own, so it is best run from an environment of its own: `--peer-python optimum=PYTHON`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.peers import eager
from bench.peers.protocol import Arrays

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class Peer(eager.Peer):
    """Serves float32, on the provider that belongs to the device."""

    packages = ("optimum", "optimum-onnx", "onnxruntime", "torch", "diffusers")

    def load(self, task: Mapping[str, Any]) -> None:
        from onnxruntime import SessionOptions
        from optimum.onnxruntime import ORTStableDiffusionPipeline

        options = SessionOptions()
        options.intra_op_num_threads = task["threads"] or 0
        pipeline = ORTStableDiffusionPipeline.from_pretrained(
            task["checkpoint"],
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
