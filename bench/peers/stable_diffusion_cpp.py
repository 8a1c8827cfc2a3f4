"""stable-diffusion.cpp by its Python binding, weights in float16 or in blocks of eight bits: whole pictures.

It compiles when it is installed: `pip install stable-diffusion-cpp-python` in an environment of its own.
It knows a text encoder by the names that transformers gave its tensors before version 5.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.peers.protocol import Arrays, Float32, PeerUnavailable

PREDICTIONS = {"epsilon": "eps", "v_prediction": "v"}
PREFIX = "text_model."


class Peer:
    """A peer for whole pictures on the CPU; it has no UNet call."""

    packages: tuple[str, ...] = ("stable-diffusion-cpp-python",)

    def load(self, task: Mapping[str, Any]) -> None:
        from stable_diffusion_cpp import StableDiffusion

        if task["device"] != "cpu":
            raise PeerUnavailable("this binding is compiled for the CPU")
        checkpoint = Path(task["checkpoint"])
        schedule = checkpoint / "scheduler" / "scheduler_config.json"
        self._scratch = tempfile.TemporaryDirectory()  # it reads weights again for every picture
        self._model = StableDiffusion(
            model_path=_with_old_names(checkpoint, Path(self._scratch.name)),
            wtype=task["weights"],
            n_threads=task["threads"] or -1,
            prediction=PREDICTIONS[json.loads(schedule.read_text()).get("prediction_type", "epsilon")],
            vae_decode_only=True,
            verbose=False,
        )

    def take(self, inputs: Arrays) -> None:
        raise PeerUnavailable("serves whole pictures only")

    def step(self) -> None:
        raise PeerUnavailable("serves whole pictures only")

    def output(self) -> Float32:
        raise PeerUnavailable("serves whole pictures only")

    def image(self, task: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[Any]]:
        # One UNet call a step, as the runtime's schedules have it; solvers cost next to nothing.
        (picture,) = self._model.generate_image(
            prompt=task["prompt"],
            negative_prompt=task["negative"],
            sample_method="euler",
            sample_steps=task["steps"],
            cfg_scale=task["guidance"],
            height=task["height"],
            width=task["width"],
            seed=0,
        )
        return np.asarray(picture, np.float32) / 255


def _with_old_names(checkpoint: Path, scratch: Path) -> str:
    """Return the checkpoint, in links, with the text encoder's tensors called as before."""
    for part in checkpoint.iterdir():
        if part.name != "text_encoder":
            (scratch / part.name).symlink_to(part.resolve())
    (scratch / "text_encoder").mkdir()
    content = (checkpoint / "text_encoder" / "model.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    tensors = json.loads(content[8 : 8 + length])
    named = {
        name if name.startswith((PREFIX, "__")) else PREFIX + name: tensor for name, tensor in tensors.items()
    }
    header = json.dumps(named).encode()
    with (scratch / "text_encoder" / "model.safetensors").open("xb") as file:
        file.write(len(header).to_bytes(8, "little") + header + content[8 + length :])
    return str(scratch)
