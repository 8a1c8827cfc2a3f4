"""The training of the default's UNet: v-prediction on latents, jointly with the text encoder."""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import DiffusionPipeline

from aptp.data.batches import Batch
from aptp.evaluate.detections import Pictures
from aptp.evaluate.sampling import Parts, sample
from aptp.model.encoding import TextEncoding
from aptp.pretrain.layout_loss import LayoutHead, answers
from aptp.trainer.inputs import drop, encode
from aptp.trainer.learner import Learner
from aptp.trainer.noising import Noising
from aptp.trainer.recipe import Recipe
from aptp.trainer.rng import Draws

RECIPE = Recipe(steps=13_500, batch=64, rate=1e-3, warmup=200, decay=4_500, average=0.999)

LAYOUT = 0.1  # weight of the layout loss


class DenoiserLearner(Learner):
    """The learner of a pipeline's UNet and text encoder; its VAE is frozen.

    A head asks for the layout at the last attention of the last-but-one up block, whose feature has half the
    latent's resolution.
    """

    def __init__(self, pipeline: DiffusionPipeline) -> None:
        super().__init__()
        self._pipeline = pipeline
        self.unet, self.encoder = pipeline.unet, pipeline.text_encoder
        self.vae = pipeline.vae.requires_grad_(False).eval()
        self.text = TextEncoding(pipeline.tokenizer, pipeline.text_encoder)
        self.noising = Noising(pipeline.scheduler)
        asked = self.unet.up_blocks[-2].attentions[-1]
        self.head = LayoutHead(asked.proj_out.out_features)
        asked.register_forward_hook(self._keep)
        self._feature: torch.Tensor | None = None

    def forward(self, batch: Batch, step: int, draws: Draws) -> dict[str, torch.Tensor]:
        latents = encode(self.vae, batch.images, draws)
        noised = self.noising.draw(latents, draws)
        captions = drop(batch.captions, draws)
        output = self.unet(noised.sample, noised.timesteps, self.text(captions).hidden, return_dict=False)[0]
        denoising = noised.loss(output).mean()
        assert self._feature is not None
        feature = self._feature.permute(0, 2, 3, 1)  # [B, CELLS, CELLS, C]
        layout = self.head.loss(feature, answers([sample["layout"] for sample in batch.metadata]))
        return {"loss": denoising + LAYOUT * layout, "denoising": denoising, "layout": layout}

    @property
    def drawers(self) -> int:
        return 1

    def draw(self, captions: Sequence[str]) -> Pictures:
        return sample(Parts.of_pipeline(self._pipeline), captions)

    def _keep(self, module: Any, args: Any, output: Any) -> None:
        self._feature = output[0]
