"""The three runs of pretraining in order; each starts from the weights of the one before."""

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline

from aptp.checkpoint.publishing import check_target, published
from aptp.data.batches import batches
from aptp.data.sample import SampleSource
from aptp.data.scenes.source import Scenes
from aptp.pipeline import classic_attention, untrained_pipeline
from aptp.presets import PRESETS
from aptp.pretrain import codec, denoiser, text
from aptp.pretrain.curriculum import Curriculum
from aptp.trainer import distributed, provenance
from aptp.trainer.learner import Learner
from aptp.trainer.loop import RunOptions, Training
from aptp.trainer.recipe import Recipe
from runtime.errors import UsageError, nearest

SCENE_PRESETS = ("tiny",)
MEASURED = 16  # batches the latents' scale is measured on


def pretrain(preset: str, out: Path, folder: Path, options: RunOptions, recipe: Recipe) -> bool:
    """Train and write the pipeline to `out`, float16; return False where the session ended first.

    `recipe` is the UNet's; its seed is that of all three runs.

    `folder` keeps the runs. Raises UsageError, TrainingError, IntegrityError and StorageError.
    """
    if preset not in SCENE_PRESETS:
        raise UsageError(f"scenes cannot train preset '{preset}'{nearest(preset, SCENE_PRESETS)}")
    check_target(out)
    runs = _Runs(untrained_pipeline(PRESETS[preset], recipe.seed), folder, options, recipe.seed)
    if not (runs.vae(codec.RECIPE) and runs.text(text.RECIPE) and runs.unet(recipe)):
        return False
    if not distributed.leads():
        return True
    with published(out) as draft:
        runs.pipeline.to(torch.float16).save_pretrained(draft)
        provenance.write(draft, {**provenance.origin("aptp.pretrain"), "runs": runs.accounts})
    return True


class _Runs:
    """The runs on one pipeline; each returns whether it is finished."""

    def __init__(self, pipeline: DiffusionPipeline, folder: Path, options: RunOptions, seed: int) -> None:
        self.pipeline, self._folder, self._options, self._seed = pipeline, folder, options, seed
        self.accounts: dict[str, Any] = {}
        self._ends = time.monotonic() + 60 * options.minutes
        classic_attention(pipeline.unet, pipeline.vae)

    def vae(self, recipe: Recipe) -> bool:
        vae = self.pipeline.vae
        finished = self._run("vae", lambda: codec.CodecLearner(vae), recipe)
        if finished:
            measured = islice(batches(Scenes(seed=self._seed), recipe.batch), MEASURED)
            vae.register_to_config(scaling_factor=codec.scaling_factor(vae, measured))
        return finished

    def text(self, recipe: Recipe) -> bool:
        tokenizer, encoder = self.pipeline.tokenizer, self.pipeline.text_encoder
        return self._run("text", lambda: text.TextLearner(tokenizer, encoder), recipe)

    def unet(self, recipe: Recipe) -> bool:
        source = Curriculum(seed=self._seed)
        return self._run("unet", lambda: denoiser.DenoiserLearner(self.pipeline), recipe, source)

    def _run(
        self, name: str, made: Callable[[], Learner], recipe: Recipe, source: SampleSource | None = None
    ) -> bool:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)  # the heads a learner brings along
            learner = made()
        recipe, folder = replace(recipe, seed=self._seed), self._folder / name
        options = replace(self._options, minutes=max(0.0, self._ends - time.monotonic()) / 60)
        scenes = source or Scenes(seed=self._seed)
        training = Training(
            learner,
            scenes,
            recipe,
            folder,
            options,
            identity={"stage": name},
            held_out=Scenes("test", seed=self._seed),
        )
        finished = training.run(name)
        if finished and training.average:
            training.average.settle()
        self.accounts[name] = provenance.account(folder, recipe)
        return finished
