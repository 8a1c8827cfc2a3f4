"""OpenVINO's own runtime on the dense expert's portable graph, shapes pinned, at the precision it chooses."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.peers.protocol import Arrays, Float32, PeerUnavailable
from runtime.engines.openvino import silenced


class Peer:
    """A peer for UNet calls on the CPU; it draws no pictures."""

    packages: tuple[str, ...] = ("openvino",)

    def load(self, task: Mapping[str, Any]) -> None:
        with silenced():
            import openvino

        if task["device"] != "cpu":
            raise PeerUnavailable("OpenVINO has no NVIDIA device")
        if task["graph"] is None:
            raise PeerUnavailable("the bundle has no dense expert; build it with --codes all,dense")
        self._core = openvino.Core()
        self._options = {"INFERENCE_NUM_THREADS": task["threads"]} if task["threads"] else {}
        self._model = self._core.read_model(task["graph"])

    def take(self, inputs: Arrays) -> None:
        self._model.reshape({name: list(array.shape) for name, array in inputs.items()})
        compiled = self._core.compile_model(self._model, "CPU", self._options)
        self._request, self._inputs = compiled.create_infer_request(), dict(inputs)

    def step(self) -> None:
        self._request.infer(self._inputs, share_inputs=True)

    def output(self) -> Float32:
        return np.array(self._request.get_output_tensor(0).data, np.float32)

    def image(self, task: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[Any]]:
        raise PeerUnavailable("serves UNet calls only")
