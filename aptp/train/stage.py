"""Stage 1: from a dense pipeline to a checkpoint with a router, codes, and experts that are sliced only."""

from pathlib import Path

import torch

from aptp.checkpoint.publishing import check_target
from aptp.train.gate_policy import GatePolicy
from aptp.train.identity import identity
from aptp.train.learner import CodeLearner
from aptp.train.predictor import standard
from aptp.train.prompts import embeddings
from aptp.train.publish import publish
from aptp.train.router_fit import Usage
from aptp.train.run import RouterTask, Run
from aptp.trainer import provenance
from aptp.trainer.feed import open_feed
from aptp.trainer.loop import RunOptions, Training

CENTRING = 1024  # prompts whose mean is the predictor's centre


def train(
    task: RouterTask,
    out: Path,
    folder: Path,
    options: RunOptions,
    *,
    recompute: bool = False,
    at_once: int | None = None,
) -> Usage | None:
    """Learn router and codes, write a checkpoint to `out`, and return how it spreads held-out prompts.

    None where the run was cut short: the same call goes on from the state in `folder`. `recompute`: trade
    time for memory by gradient checkpointing. `at_once`: rows that a process's UNet takes at a time. Raises
    `UsageError`, `TrainingError`, `Refused`, `StorageError`.
    """
    check_target(out)
    run = Run.open(task, recompute=recompute)
    policy = _policy(run)
    feed = open_feed(
        run.pipeline,
        run.seen,
        size=run.train_size,
        precision=options.precision,
        seed=task.recipe.seed,
        cache=task.latents,
        pictures=options.looks,
        at_once=at_once,
    )
    learner = CodeLearner(
        run.pipeline,
        policy,
        run.budget,
        run.encoder,
        feed.inputs,
        timesteps=task.recipe.timesteps,
        at_once=at_once,
    )
    told = {**identity(run), **feed.identity}
    training = Training(
        learner, feed.source, task.recipe, folder, options, identity=told, held_out=run.unseen
    )
    if not training.run("codes"):
        return None
    origin = {
        **provenance.origin("aptp.train"),
        **provenance.account(folder, task.recipe),
        "precision": options.precision,
        "data": run.seen.about,
        **feed.identity,
    }
    return publish(run, policy, out, origin)


def _policy(run: Run) -> GatePolicy:
    method = run.task.method
    seen = embeddings(run.encode, run.seen.captions(), CENTRING if method.centred else 1)  # [N, E]
    centre, spread = standard(seen) if method.centred else (torch.zeros(seen.shape[1]), 1.0)
    return GatePolicy(run.cost.space, method, centre, spread, run.task.recipe.seed)
