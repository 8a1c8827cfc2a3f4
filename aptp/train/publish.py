"""Publishing a trained policy as a checkpoint: router, architectures, provenance."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aptp.checkpoint.reader import Checkpoint
from aptp.checkpoint.record import Record
from aptp.checkpoint.writer import write_checkpoint
from aptp.pipeline import stored_dtypes
from aptp.train.gate_policy import GatePolicy
from aptp.train.pricing import unit
from aptp.train.prompts import embeddings
from aptp.train.router_fit import Usage, deploy, usage
from aptp.train.run import Run
from aptp.trainer import distributed, provenance
from aptp.trainer.rng import generator

PRICING, HELD_OUT = 8192, 4096  # prompts that set prices, and that measure


def publish(run: Run, policy: GatePolicy, out: Path, origin: Mapping[str, Any]) -> Usage:
    """Write the checkpoint to `out`, and return how its router spreads held-out prompts.

    `origin` is what is known of how the policy was trained. Raises `Refused`, `StorageError`.
    """
    recipe = run.task.recipe
    # A run from a cache never brought it to the device.
    (run.encoder or run.pipeline.text_encoder).to(next(policy.parameters()).device)
    seen = embeddings(run.encode, run.seen.captions(), PRICING)
    unseen = embeddings(run.encode, run.unseen.captions(), HELD_OUT)
    for frozen in (run.pipeline, policy, *([run.encoder] if run.encoder else [])):
        frozen.to("cpu")
    deployment = deploy(policy, run.cost, seen, generator(recipe.seed, recipe.steps))
    router = deployment.router(seen)
    found = usage(deployment, router, run.cost, unseen)
    for name, dtype in stored_dtypes(run.task.source).items():
        getattr(run.pipeline, name).to(dtype)
    codes = list(zip(found.costs, deployment.architectures, strict=True))
    if distributed.leads():
        record = _record(run, {**origin, "held_out": asdict(found)})
        write_checkpoint(out, record, run.pipeline, codes, router, prompt_encoder=run.encoder)
    return found


def _record(run: Run, origin: Mapping[str, Any]) -> Record:
    task, space = run.task, run.cost.space
    known = Checkpoint.open(task.source).record if (task.source / "aptp.json").exists() else None
    return Record(
        name=known.name if known else task.source.name,
        trained=known.trained if known else True,
        size=run.size,
        depth=tuple(gate.module for gate in space.depths),
        feed_forward_gates=space.feed_forward_gates,
        codes=(),
        guidance=task.guidance,
        provenance={
            **origin,
            "codes": "learned; experts are slices, not fine-tuned",
            "budget": unit(task.cost),
            "train_size": list(run.train_size),
            "method": task.method.identity(),
            "from": known.provenance if known else provenance.read(task.source),
        },
    )
