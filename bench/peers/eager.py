"""diffusers without compilation: the UNet and the whole pipeline in eager PyTorch, in one dtype."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.peers.protocol import Arrays, Float32, PeerUnavailable


class Peer:
    """A peer in float32, or in bfloat16 by weights cast to it (no autocast: that is slower)."""

    packages: tuple[str, ...] = ("torch", "diffusers", "transformers")

    def load(self, task: Mapping[str, Any]) -> None:
        import torch
        from diffusers import UNet2DConditionModel

        if task["device"] == "cuda" and not torch.cuda.is_available():
            raise PeerUnavailable("torch finds no NVIDIA GPU here")
        if task["threads"]:
            torch.set_num_threads(task["threads"])
        self.task, self.dtype = task, getattr(torch, task["dtype"])
        unet = UNet2DConditionModel.from_pretrained(
            task["checkpoint"], subfolder="unet", torch_dtype=self.dtype, local_files_only=True
        )
        self.unet = self.prepared(unet.to(task["device"], memory_format=torch.channels_last).eval())
        self._pipeline: Any = None

    def prepared(self, unet: Any) -> Any:
        """Return the function to call at every step."""
        return unet

    def take(self, inputs: Arrays) -> None:
        import torch

        place = {"device": self.task["device"], "dtype": self.dtype}
        tensors = {name: torch.from_numpy(array).to(**place) for name, array in inputs.items()}
        # Positions are not rounded: bfloat16 has no 999.
        self._timestep = torch.from_numpy(inputs["timestep"]).to(self.task["device"])
        self._sample = tensors["sample"].contiguous(memory_format=torch.channels_last)
        self._text = tensors["encoder_hidden_states"]

    def step(self) -> None:
        import torch

        with torch.no_grad():  # as in diffusers' pipelines, so that compiled graphs serve both
            self._output = self.unet(self._sample, self._timestep, self._text, return_dict=False)[0]
        if self.task["device"] == "cuda":
            torch.cuda.synchronize()

    def output(self) -> Float32:
        output: Float32 = self._output.float().cpu().numpy()
        return output

    def image(self, task: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[Any]]:
        if self._pipeline is None:
            self._pipeline = self.scheduled(self._assembled())
        images = self._pipeline(
            task["prompt"],
            negative_prompt=task["negative"],
            num_inference_steps=task["steps"],
            guidance_scale=task["guidance"],
            height=task["height"],
            width=task["width"],
            output_type="np",
        ).images
        image: np.ndarray[Any, np.dtype[Any]] = images[0]
        return image

    def _assembled(self) -> Any:
        from diffusers import StableDiffusionPipeline

        return StableDiffusionPipeline.from_pretrained(
            self.task["checkpoint"],
            unet=self.unet,
            torch_dtype=self.dtype,
            safety_checker=None,
            local_files_only=True,
        ).to(self.task["device"])

    def scheduled(self, pipeline: Any) -> Any:
        """Make one UNet call per step, as the runtime's schedules have it; solvers cost next to nothing."""
        from diffusers import DDIMScheduler

        pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline
