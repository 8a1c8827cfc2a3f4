"""Stage 2: from a checkpoint to a checkpoint with trained experts."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from aptp.checkpoint.publishing import check_target
from aptp.checkpoint.reader import Checkpoint
from aptp.checkpoint.writer import rewrite_experts
from aptp.data.captions import Window
from aptp.data.sources import open_source
from aptp.finetune.learner import ExpertLearner
from aptp.finetune.weights import ExpertLossWeights
from aptp.model.sliced import SlicedUNet
from aptp.pipeline import classic_attention, read_pipeline, stored_dtype
from aptp.trainer import distributed, provenance
from aptp.trainer.feed import open_feed
from aptp.trainer.loop import RunOptions, Training
from aptp.trainer.recipe import Recipe

RECIPE = Recipe(steps=2_800, batch=128, rate=7e-4, warmup=200, decay=1_400, average=0.999)


def finetune(
    checkpoint: Checkpoint,
    out: Path,
    codes: Sequence[int],
    *,
    data: str,
    recipe: Recipe,
    weights: ExpertLossWeights,
    options: RunOptions,
    folder: Path,
    recompute: bool = False,
    latents: Path | None = None,
) -> bool:
    """Train the experts of `codes` and write a checkpoint with them and all others to `out`.

    False where the session ended first: the same call goes on from the state in `folder`. `recompute`:
    trade time for memory by gradient checkpointing. `latents`: a cache of `data`, that is read instead of
    pictures. Raises UsageError, TrainingError, Refused, StorageError.
    """
    check_target(out)
    checkpoint.verify()
    experts = {code: _expert(checkpoint, code, recompute) for code in codes}
    pipeline = read_pipeline(checkpoint.path, torch.float32)
    classic_attention(pipeline.unet, pipeline.vae, *experts.values())
    fits = Window(pipeline.tokenizer)
    source = open_source(data, seed=recipe.seed, size=checkpoint.record.size, fits=fits)
    feed = open_feed(
        pipeline,
        source,
        size=checkpoint.record.size,
        precision=options.precision,
        seed=recipe.seed,
        cache=latents,
    )
    encoder = checkpoint.prompt_encoder()
    training = Training(
        ExpertLearner(pipeline, checkpoint.router(), experts, weights, encoder, feed.inputs),
        feed.source,
        recipe,
        folder,
        options,
        identity={
            "stage": "finetune",
            "codes": list(codes),
            "data": source.about,
            "weights": asdict(weights),
            "checkpoint": checkpoint.digest(),
            **feed.identity,
        },
    )
    if not training.run("experts " + ", ".join(map(str, codes))):
        return False
    if training.average:
        training.average.settle()
    stored = stored_dtype(checkpoint.path)
    tuned = {code: expert.to("cpu", stored).eval() for code, expert in experts.items()}
    told = {
        **provenance.origin("aptp.finetune"),
        **provenance.account(folder, recipe),
        "codes": list(codes),
        "data": source.about,
        "weights": asdict(weights),
        **feed.identity,
        "from": {**checkpoint.record.provenance, "digest": checkpoint.digest()},
    }
    if distributed.leads():
        rewrite_experts(checkpoint, out, tuned, told)
    return True


def _expert(checkpoint: Checkpoint, code: int, recompute: bool) -> SlicedUNet:
    expert = checkpoint.expert(str(code))
    assert isinstance(expert, SlicedUNet)
    if recompute:
        expert.enable_gradient_checkpointing()
    return expert
