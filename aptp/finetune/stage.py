"""Stage 2: from a checkpoint to a checkpoint with trained experts."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from aptp.checkpoint.publishing import check_target
from aptp.checkpoint.reader import Checkpoint
from aptp.checkpoint.writer import rewrite_experts
from aptp.finetune.learner import ExpertLearner
from aptp.finetune.samples import open_samples
from aptp.finetune.weights import ExpertLossWeights
from aptp.model.sliced import SlicedUNet
from aptp.pipeline import classic_attention, read_pipeline, stored_dtype
from aptp.trainer import distributed, provenance
from aptp.trainer.loop import RunOptions, Training
from aptp.trainer.recipe import Recipe

RECIPE = Recipe(steps=2_800, batch=32, rate=7e-4, warmup=200, decay=1_400, average=0.999)


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
) -> bool:
    """Train the experts of `codes` and write a checkpoint with them and all others to `out`.

    The batch of `recipe` is each expert's. False where the session ended first: the same call goes on from
    the state in `folder`. `recompute`: trade time for memory by gradient checkpointing. Raises UsageError,
    TrainingError, Refused, StorageError.
    """
    check_target(out)
    checkpoint.verify()
    device = distributed.join()
    experts = {code: _expert(checkpoint, code, recompute) for code in codes}
    pipeline = read_pipeline(checkpoint.path, torch.float32)
    classic_attention(pipeline.unet, pipeline.vae, *experts.values())
    samples = open_samples(
        checkpoint,
        pipeline,
        codes,
        data=data,
        recipe=recipe,
        folder=folder,
        device=device,
        unseen=options.looks,
    )
    training = Training(
        ExpertLearner(pipeline, experts, weights, checkpoint.record.size),
        samples.seen,
        replace(recipe, batch=recipe.batch * len(codes)),
        folder,
        options,
        identity={
            "stage": "finetune",
            "codes": list(codes),
            "data": samples.about,
            "weights": asdict(weights),
            "checkpoint": checkpoint.digest(),
        },
        held_out=samples.unseen,
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
        "data": samples.about,
        "weights": asdict(weights),
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
