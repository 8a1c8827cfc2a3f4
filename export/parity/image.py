"""The last rung of the ladder: the runtime's image from an assembled bundle against diffusers' own."""

import time
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import StableDiffusionPipeline

from aptp.checkpoint.reader import Checkpoint
from export.build import layout, part_store
from export.build.part_store import PartRecord
from export.build.parts import Report
from export.build.plan import BuildSpec, Part
from export.graphs import weights
from export.parity import ladder, tolerances
from export.tables import solvers
from runtime import Pipeline
from runtime.bundle.reader import Bundle
from runtime.files import publish
from runtime.request.params import GenerationParams, code_of


def stage(argument: tuple[Part, BuildSpec, Path], report: Report) -> PartRecord:
    """Run the rung for one expert of the bundle at the given place, and stage its record."""
    part, spec, bundle = argument
    start = time.monotonic()
    place = layout.stage_folder(spec.out, part.key)
    with publish.disk_space(place, part.disk), publish.publishing(place) as folder:
        error = compare(bundle, part.item, spec, report)
        seconds = time.monotonic() - start
        record = PartRecord(part.name, part.key, part.shown_on, seconds, measures={"image": error})
        part_store.finish(folder, record)
    return record


def compare(bundle: Path, name: str, spec: BuildSpec, report: Report) -> float:
    """Return the share of pixel values that differ for one expert. Raises ParityError, OutputError."""
    manifest = Bundle.open(bundle).manifest
    side = _side(manifest.latent)
    shape = (1, manifest.latent.channels, side, side)
    latents = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    report("diffusers", 0.0)
    wanted = _diffusers(spec, name, manifest.defaults.solver, latents, manifest.decoder.scale)
    report("runtime", 0.5)
    # The rung is about the runtime, in float32 on every machine; rung 3 has held other engines to their own.
    with Pipeline.open(
        bundle,
        engine="cpu",
        cache=spec.cache,
        cache_group_writable=spec.cache_group_writable,
        threads=spec.threads,
    ) as runtime:
        (made,) = runtime.generate(
            tolerances.IMAGE_PROMPT,
            GenerationParams(
                negative_prompt=tolerances.IMAGE_NEGATIVE,
                latents=latents[0],
                steps=tolerances.IMAGE_STEPS,
                guidance=tolerances.IMAGE_GUIDANCE,
                code=code_of(name),
            ),
        )
    ladder.check_output(made.pixels.astype(np.float32), "runtime")
    return ladder.same_image(made.pixels, wanted)


def _side(latent: Any) -> int:
    """Return a size that is quick to run and holds at least two rows of the deepest level."""
    side: int = min(max(4 * latent.multiple, latent.minimum), latent.maximum)
    return side


def _diffusers(spec: BuildSpec, name: str, solver: str, latents: ladder.Array, scale: int) -> ladder.Array:
    """Return the image as uint8 [H, W, 3], from the same weights, rounded alike.

    The rest is diffusers' own reading of the folder: not our configs, and not our way from the pipeline's
    scheduler to the solver's.
    """
    checkpoint = Checkpoint.open(spec.checkpoint)
    modules = {
        "unet": checkpoint.expert(name),
        "vae": checkpoint.vae(),
        "text_encoder": checkpoint.text_encoder(),
    }
    for module in modules.values():
        weights.round_to_half(module)
    for component in ("tokenizer", "scheduler"):
        checkpoint.verify(component)
    pipeline = StableDiffusionPipeline.from_pretrained(
        checkpoint.path, **modules, safety_checker=None, feature_extractor=None, local_files_only=True
    )
    kind, insisted = solvers.SOLVERS[solver]
    own = pipeline.scheduler.config
    if type(pipeline.scheduler).__name__ != kind or any(own[name] != insisted[name] for name in insisted):
        pipeline.scheduler = getattr(diffusers, kind).from_config(own, **insisted)
    pipeline.set_progress_bar_config(disable=True)
    side = scale * latents.shape[-1]
    output = pipeline(
        tolerances.IMAGE_PROMPT,
        negative_prompt=tolerances.IMAGE_NEGATIVE,
        latents=torch.from_numpy(latents),
        num_inference_steps=tolerances.IMAGE_STEPS,
        guidance_scale=tolerances.IMAGE_GUIDANCE,
        height=side,
        width=side,
        output_type="np",
    )
    image: ladder.Array = np.rint(255 * output.images[0]).astype(np.uint8)
    return image
