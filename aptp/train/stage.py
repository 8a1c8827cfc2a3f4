"""Stage 1 from a dense pipeline to a checkpoint: router and codes, and experts sliced but not yet tuned."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline

from aptp.checkpoint.publishing import check_target
from aptp.checkpoint.reader import Checkpoint
from aptp.checkpoint.record import GUIDANCE, MAX_GUIDANCE, Record
from aptp.checkpoint.writer import write_checkpoint
from aptp.data.captions import Window
from aptp.data.named import open_source
from aptp.data.sample import NamedSource, SampleSource
from aptp.model.encoding import Encode, TextEncoding
from aptp.model.prompt_encoder import PromptEncoder, read_prompt_encoder
from aptp.pipeline import classic_attention, read_pipeline, stored_dtype
from aptp.space.cost import Cost, mac_cost
from aptp.space.discover import discover
from aptp.space.groups import Space
from aptp.space.profile_file import read, to_json
from aptp.space.table import table_cost
from aptp.train.budget import Budget, published_cost
from aptp.train.gate_policy import GatePolicy
from aptp.train.learner import CodeLearner
from aptp.train.method import Method
from aptp.train.predictor import standard
from aptp.train.prompts import embeddings
from aptp.train.router_fit import Usage, deploy, usage
from aptp.trainer import distributed, provenance
from aptp.trainer.loop import RunOptions, Training
from aptp.trainer.recipe import Recipe
from aptp.trainer.rng import generator
from runtime.errors import Refused, UsageError, unusable
from runtime.files.source import digest_folder

CENTRING, PRICING, HELD_OUT = 1024, 8192, 4096  # prompts that centre, price, and measure
PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")


@dataclass(frozen=True)
class RouterTask:
    """What is to be learned: ``source``, a diffusers folder, on ``data``; ``size`` is the (height, width) in
    pixels at which the budget holds, by default the pipeline's own. ``guidance``: the scale images are to be
    drawn with by default. ``cost``: a profile of the machine that will serve, whose seconds are budgeted
    instead of MACs. ``prompt_encoder``: a transformers folder whose encoder prompts are routed by, instead of
    the pipeline's text encoder.
    """

    source: Path
    data: str
    method: Method
    recipe: Recipe
    size: tuple[int, int] | None = None
    guidance: float = GUIDANCE
    cost: Path | None = None
    prompt_encoder: Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.guidance <= MAX_GUIDANCE:
            raise UsageError(f"guidance {self.guidance}: give a number from 0 to {MAX_GUIDANCE:g}")


def train(
    task: RouterTask, out: Path, folder: Path, leg: RunOptions, *, recompute: bool = False
) -> Usage | None:
    """Learns router and codes and writes a checkpoint to ``out``; how it spreads held-out prompts.

    None where the leg ended first: the same call goes on from the state in ``folder``. ``recompute``: trade
    time for memory by gradient checkpointing. Raises UsageError, TrainingError, Refused and StorageError.
    """
    check_target(out)
    pipeline = _pipeline(task.source, recompute)
    size = _size(pipeline, task.size)
    cost, counted = costs(pipeline, discover(pipeline.unet), size, task.method, task.cost)
    encoder = read_prompt_encoder(task.prompt_encoder) if task.prompt_encoder else None
    source, unseen = _sources(task, pipeline, size)
    policy = _policy(task, _reader(pipeline, encoder), cost.space, source.captions())
    learner = CodeLearner(pipeline, policy, counted, encoder)
    identity = _identity(task, size, source.about, encoder)
    training = Training(learner, source, task.recipe, folder, leg, identity=identity)
    if not training.run("codes"):
        return None
    learner.to("cpu")
    told = {
        **provenance.origin("aptp.train"),
        **provenance.account(folder, task.recipe),
        "data": source.about,
    }
    prompts = (source.captions(), unseen.captions())
    return _publish(task, out, (pipeline, encoder), policy, (size, cost), prompts, told)


def _sources(
    task: RouterTask, pipeline: DiffusionPipeline, size: tuple[int, int]
) -> tuple[NamedSource, NamedSource]:
    """What is trained on, and what is held out from it: both are opened before anything is learned, so that
    what is missing is missed at once.
    """
    fits, seed = Window(pipeline.tokenizer), task.recipe.seed
    train = open_source(task.data, seed=seed, size=size, fits=fits)
    return train, open_source(task.data, seed=seed, split="test", fits=fits)


def _reader(pipeline: DiffusionPipeline, encoder: PromptEncoder | None) -> Encode:
    """How prompts are read that are to be routed."""
    return encoder or TextEncoding(pipeline.tokenizer, pipeline.text_encoder)


def _policy(task: RouterTask, read: Encode, space: Space, prompts: SampleSource) -> GatePolicy:
    seen = embeddings(read, prompts, CENTRING if task.method.centred else 1)  # [N, E]
    centre, spread = standard(seen) if task.method.centred else (torch.zeros(seen.shape[1]), 1.0)
    return GatePolicy(space, task.method, centre, spread, task.recipe.seed)


def _publish(
    task: RouterTask,
    out: Path,
    frozen: tuple[DiffusionPipeline, PromptEncoder | None],
    policy: GatePolicy,
    budgeted: tuple[tuple[int, int], Cost],
    prompts: tuple[SampleSource, SampleSource],
    told: Mapping[str, Any],
) -> Usage:
    """``frozen``: what was not trained. ``budgeted``: the size in pixels at which the budget holds, and the
    cost there. ``prompts``: those trained on, and those held out. ``told``: what is known of the run.
    """
    pipeline, encoder = frozen
    size, cost = budgeted
    read, seed = _reader(pipeline, encoder), task.recipe.seed
    seen, unseen = embeddings(read, prompts[0], PRICING), embeddings(read, prompts[1], HELD_OUT)
    deployment = deploy(policy, cost, seen, generator(seed, task.recipe.steps))
    router = deployment.router(seen)
    found = usage(deployment, router, cost, unseen)
    stored = stored_dtype(task.source)
    if stored is not None:
        pipeline.to(stored)
    codes = list(zip(found.costs, deployment.architectures, strict=True))
    record = _record(task, size, cost.space, {**told, "held_out": asdict(found)})
    if distributed.leads():
        write_checkpoint(out, record, pipeline, codes, router, prompt_encoder=encoder)
    return found


def costs(
    pipeline: DiffusionPipeline,
    space: Space,
    size: tuple[int, int],
    method: Method,
    profile: Path | None = None,
) -> tuple[Cost, Budget]:
    """What serving pays at ``size`` pixels, in true MACs or the seconds of ``profile``, and what the method's
    budget loss counts.
    """
    config, scale = dict(pipeline.unet.config), pipeline.vae_scale_factor
    height, width = size[0] // scale, size[1] // scale
    tokens = int(pipeline.tokenizer.model_max_length)
    if profile is not None:
        if not method.true_macs:
            raise UsageError("this method counts MACs in its own way, not seconds: add --set true_macs=true")
        seconds = table_cost(read(profile), space, height, width, tokens)
        return seconds, Budget(seconds, method.budget)
    true = mac_cost(config, space, height, width, tokens)
    if method.true_macs:
        return true, Budget(true, method.budget)
    single = mac_cost(config, space, height, width, 1)
    counted = published_cost(config, single, height, width)
    return true, Budget(counted, method.budget, prunable=True)


def _pipeline(source: Path, recompute: bool) -> DiffusionPipeline:
    pipeline = read_pipeline(source, torch.float32)
    if not isinstance(pipeline, StableDiffusionPipeline):
        raise UsageError(
            f"{source} is a {type(pipeline).__name__}; stage 1 trains pipelines with one text encoder"
        )
    classic_attention(pipeline.unet, pipeline.vae)
    if recompute:
        pipeline.unet.enable_gradient_checkpointing()
    return pipeline


def _size(pipeline: DiffusionPipeline, asked: tuple[int, int] | None) -> tuple[int, int]:
    scale, side = pipeline.vae_scale_factor, pipeline.unet.config.sample_size
    sides = (side, side) if isinstance(side, int) else tuple(side)
    size = asked or (sides[0] * scale, sides[1] * scale)
    if size[0] % scale or size[1] % scale:
        raise UsageError(f"size {size[0]}x{size[1]}: both sides must be multiples of {scale} pixels")
    return size


def _identity(
    task: RouterTask, size: tuple[int, int], data: Mapping[str, Any], encoder: PromptEncoder | None
) -> Mapping[str, Any]:
    """What makes the run itself, beside its recipe: the weights it starts from, above all."""
    try:
        entries = {part: digest_folder(task.source / part) for part in PARTS}
    except OSError as error:
        raise Refused(unusable(error)) from error
    lines = [f"{e.sha256} {part}/{name}\n" for part in PARTS for name, e in entries[part].items()]
    return {
        "stage": "train",
        "method": task.method.identity(),
        "data": data,
        "size": list(size),
        "source": hashlib.sha256("".join(lines).encode()).hexdigest(),
        **({"prompt_encoder": encoder.digest()} if encoder else {}),
        **({"cost": _unit(task.cost)} if task.cost else {}),
    }


def _unit(profile: Path | None) -> dict[str, Any]:
    """What the budget was measured in."""
    if profile is None:
        return {"in": "MACs"}
    found = read(profile)
    digest = hashlib.sha256(to_json(found)).hexdigest()
    return {"in": "seconds", "profile": digest, **asdict(found.setting)}


def _record(task: RouterTask, size: tuple[int, int], space: Space, told: Mapping[str, Any]) -> Record:
    known = Checkpoint.open(task.source).record if (task.source / "aptp.json").exists() else None
    return Record(
        name=known.name if known else task.source.name,
        trained=known.trained if known else True,
        size=size,
        depth=tuple(gate.module for gate in space.depths),
        feed_forward_gates=space.feed_forward_gates,
        codes=(),
        guidance=task.guidance,
        provenance={
            **told,
            "codes": "learned; experts are slices, not fine-tuned",
            "budget": _unit(task.cost),
            "method": task.method.identity(),
            "from": known.provenance if known else provenance.read(task.source),
        },
    )
