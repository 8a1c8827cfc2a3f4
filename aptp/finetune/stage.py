"""Stage 2: from a checkpoint to a checkpoint with trained experts."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch

from aptp.checkpoint.publishing import check_target
from aptp.checkpoint.reader import Checkpoint
from aptp.checkpoint.writer import rewrite_experts
from aptp.data.captions import Window
from aptp.data.option import chosen
from aptp.data.sources import open_source
from aptp.finetune.learner import ExpertLearner
from aptp.finetune.samples import open_samples
from aptp.finetune.weights import ExpertLossWeights
from aptp.model.sliced import SlicedUNet
from aptp.pipeline import check_size, classic_attention, draws_scenes, read_pipeline, stored_dtypes
from aptp.trainer import distributed, provenance, run_folder
from aptp.trainer.feed import open_feed
from aptp.trainer.loop import RunOptions, Training
from aptp.trainer.memory import check_memory
from aptp.trainer.precision import check_precision
from aptp.trainer.recipe import Recipe

RECIPE = Recipe(steps=2_800, batch=32, rate=7e-4, warmup=200, decay=1_400, average=0.999)


def finetune(
    checkpoint: Checkpoint,
    out: Path,
    codes: Sequence[int],
    *,
    data: str | None,
    recipe: Recipe,
    weights: ExpertLossWeights,
    options: RunOptions,
    folder: Path,
    recompute: bool = False,
    train_size: tuple[int, int] | None = None,
    at_once: int | None = None,
    latents: Path | None = None,
) -> bool:
    """Train the experts of `codes` and write a checkpoint with them and all others to `out`.

    The batch of `recipe` is each expert's. False where the session ended first: the same call goes on from
    the state in `folder`. `data`: None for scenes, where the checkpoint is of the default's kind.
    `recompute`: trade time for memory by gradient checkpointing. `train_size`: (height, width) in pixels of
    the pictures in training, by default what the checkpoint serves. `at_once`: rows that a process's UNets
    take at a time. `latents`: a cache of `data`, that is read instead of pictures. Raises UsageError,
    TrainingError, Refused, StorageError.
    """
    check_target(out)
    data = chosen(data, checkpoint.path, draws_scenes=draws_scenes(checkpoint.unet_config))
    size = check_size(train_size or checkpoint.record.size, checkpoint.vae_scale, checkpoint.unet_config)
    checkpoint.verify()
    device = distributed.join()
    experts = {code: _expert(checkpoint, code, recompute) for code in codes}
    pipeline = read_pipeline(checkpoint.path, torch.float32)
    classic_attention(pipeline.unet, pipeline.vae, *experts.values())
    fits = Window(pipeline.tokenizer)
    opened = partial(open_source, data, seed=recipe.seed, size=size, fits=fits)
    feed = open_feed(
        pipeline,
        opened(),
        size=size,
        precision=options.precision,
        seed=recipe.seed,
        cache=latents,
        pictures=options.looks,
        at_once=at_once,
    )
    learner = ExpertLearner(
        pipeline,
        experts,
        weights,
        feed.inputs,
        size=checkpoint.record.size,
        timesteps=recipe.timesteps,
        at_once=at_once,
    )
    whole = recipe.together(len(codes))
    check_precision(options.precision, device)  # now, before hours of routing
    check_memory(learner, whole, device)
    with run_folder.hold(folder) as held:  # routes are kept there before there is a training
        samples = open_samples(
            checkpoint,
            pipeline,
            codes,
            feed,
            partial(opened, split="test") if options.looks else None,
            recipe=recipe,
            folder=folder,
            device=device,
        )
        training = Training(
            learner,
            samples.seen,
            whole,
            folder,
            options,
            identity={
                "stage": "finetune",
                "codes": list(codes),
                "data": feed.source.about,
                "train_size": list(size),
                "weights": asdict(weights),
                "checkpoint": checkpoint.digest(),
                **feed.identity,
            },
            held_out=samples.unseen,
            held=held,
        )
        finished = training.run("experts " + ", ".join(map(str, codes)))
    if not finished:
        return False
    if training.average:
        training.average.settle()
    stored = stored_dtypes(checkpoint.path)["unet"]
    tuned = {code: expert.to("cpu", stored).eval() for code, expert in experts.items()}
    told = {
        **provenance.origin("aptp.finetune"),
        **provenance.account(folder, recipe),
        "precision": options.precision,
        "codes": list(codes),
        "data": feed.source.about,
        "train_size": list(size),
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
