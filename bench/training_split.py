"""The split of a training step's time into data, VAE, text, teacher and student: from pictures, from a cache.

    python -m bench.training_split [--preset tiny] [--data scenes] [--size 64x64] [--train-batch 16]

Both stages, on a checkpoint with random weights of a preset's geometry. Steps from pictures and from the
cache (`aptp.encode`) take turns on one learner, so whatever disturbs the machine disturbs both. The student's
share is all that is left of a step: its passes, the losses and the optimizer. A device is waited for at every
boundary. SD 2.1 as published: `--preset sd21 --size 256x256 --data coco:DIR --train-batch 8 --slice 1
--recompute`.
"""

import argparse
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch

from aptp.checkpoint.reader import Checkpoint
from aptp.data.batches import Batch, batches
from aptp.data.captions import Window
from aptp.data.option import add_data, chosen
from aptp.data.sources import open_source
from aptp.encode.making import Making
from aptp.encode.task import EncodeTask, Opened, this_device
from aptp.finetune.learner import ExpertLearner
from aptp.finetune.weights import ExpertLossWeights
from aptp.new.create import create
from aptp.pipeline import classic_attention, draws_scenes, read_pipeline
from aptp.presets import DEFAULT_BUDGETS
from aptp.space.discover import discover
from aptp.train.gate_policy import GatePolicy
from aptp.train.learner import CodeLearner
from aptp.train.method import PRESETS as METHODS
from aptp.train.pricing import costs
from aptp.trainer.feed import Feed, open_feed
from aptp.trainer.inputs import Inputs
from aptp.trainer.rng import draws
from aptp.trainer.slices import slices
from bench.report import save, spread
from runtime.cli.parser import Parser, run
from runtime.cli.values import size
from runtime.errors import UsageError

PARTS = ("data", "VAE", "text", "teacher", "student")

Learner = CodeLearner | ExpertLearner


class Clock:
    """Seconds by part of the step that is under way."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._calls: Counter[str] = Counter()

    def now(self) -> float:
        if self._device.type != "cpu":
            torch.accelerator.synchronize()
        return time.perf_counter()

    def begin(self) -> None:
        """Begin a step."""
        self.seconds.clear()
        self._calls.clear()

    def timed(self, part: str, call: Callable[..., Any], first: int | None = None) -> Callable[..., Any]:
        """Return `call` with its seconds added to a part: of a step's `first` calls, by default of all."""

        def measured(*arguments: Any, **options: Any) -> Any:
            start = self.now()
            result = call(*arguments, **options)
            if first is None or self._calls[part] < first:
                self._calls[part] += 1
                self.seconds[part] += self.now() - start
            return result

        return measured


def measured(inputs: Inputs, clock: Clock) -> Inputs:
    """Let the clock see what inputs take."""
    for part, names in (("VAE", ("latents",)), ("text", ("text", "empty"))):
        for name in names:
            setattr(inputs, name, clock.timed(part, getattr(inputs, name)))
    return inputs


def learners(
    checkpoint: Checkpoint, clock: Clock, options: argparse.Namespace
) -> Iterator[tuple[str, Learner]]:
    """Yield each stage's learner, whose teacher the clock sees."""
    pipeline = read_pipeline(checkpoint.path, torch.float32)
    method = METHODS["tiny"]
    space = discover(pipeline.unet)
    cost, budget = costs(pipeline, space, checkpoint.record.size, method)
    centre = torch.zeros(pipeline.text_encoder.config.hidden_size)
    policy = GatePolicy(cost.space, method, centre, 1.0, 0)
    classic_attention(pipeline.unet, pipeline.vae)
    if options.recompute:
        pipeline.unet.enable_gradient_checkpointing()
    codes = CodeLearner(pipeline, policy, budget, at_once=options.slice)
    # Teacher and student are one UNet there, and the teacher comes first.
    calls = len(slices(options.batch, options.slice))
    codes.supernet.forward = clock.timed("teacher", codes.supernet.forward, calls)
    yield "stage 1", codes
    pipeline = read_pipeline(checkpoint.path, torch.float32)
    names = range(len(checkpoint.record.codes))
    experts = {code: checkpoint.expert(str(code)) for code in names}
    classic_attention(pipeline.unet, pipeline.vae, *experts.values())
    for expert in experts.values() if options.recompute else ():
        expert.enable_gradient_checkpointing()
    made = ExpertLearner(pipeline, experts, ExpertLossWeights(), at_once=options.slice)
    made.teacher.forward = clock.timed("teacher", made.teacher.forward)
    yield f"stage 2, {len(experts)} experts", made


def feeds(checkpoint: Checkpoint, cache: Path, options: argparse.Namespace) -> dict[str, Feed]:
    """Return samples from pictures, and from a cache that is made of them here."""
    pipeline, seen = read_pipeline(checkpoint.path, torch.float32), checkpoint.record.size
    data = chosen(options.data, checkpoint.path, draws_scenes=draws_scenes(checkpoint.unet_config))
    count = (options.warm_up + options.steps) * options.batch
    task = EncodeTask(
        checkpoint.path,
        data,
        count,
        seen,
        precision=options.precision,
        batch=options.batch,
        workers=options.workers,
    )
    Making(Opened.open(task), cache, lambda what, done, total: None).run()
    classic_attention(pipeline.vae)
    source = open_source(data, size=seen, fits=Window(pipeline.tokenizer))
    return {
        name: open_feed(
            pipeline,
            source,
            size=seen,
            precision=options.precision,
            seed=0,
            cache=place,
            at_once=options.slice,
        )
        for name, place in (("pictures", None), ("cache", cache))
    }


def split(
    learner: Learner, fed: dict[str, Feed], clock: Clock, options: argparse.Namespace
) -> dict[str, Any]:
    """Return seconds by feed and part, one entry a step."""
    device = this_device()
    learner.to(device)
    given = {name: measured(feed.inputs, clock).to(device) for name, feed in fed.items()}
    loaders = {
        name: batches(feed.source, options.batch, workers=options.workers) for name, feed in fed.items()
    }
    optimizer = torch.optim.AdamW(learner.trained().values(), 1e-5, fused=True)
    found: dict[str, Any] = {name: {part: [] for part in PARTS} for name in fed}
    for step in range(options.warm_up + options.steps):
        for name in fed:
            learner.inputs = given[name]
            clock.begin()
            start = clock.now()
            batch = clock.timed("data", next)(loaders[name])
            _step(learner, batch, step, options)
            optimizer.step()
            optimizer.zero_grad()
            clock.seconds["student"] = clock.now() - start - sum(clock.seconds.values())
            if step >= options.warm_up:
                for part in PARTS:
                    found[name][part].append(clock.seconds[part])
    return found


def _step(learner: Learner, batch: Batch, step: int, options: argparse.Namespace) -> None:
    rows = range(options.batch)
    with torch.autocast(this_device().type, torch.bfloat16, enabled=options.precision == "bf16"):
        terms = learner(batch, step, draws(0, step, rows, options.batch))
    terms["loss"].backward()


def _shares(text: str) -> tuple[float, ...]:
    return tuple(map(float, text.split(",")))


def _arguments() -> argparse.Namespace:
    parser = Parser(prog="python -m bench.training_split", description=__doc__)
    parser.add_argument("--preset", default="tiny", help="geometry")
    add_data(parser)
    parser.add_argument("--size", type=size, metavar="WxH", help="that is trained at (the preset's own)")
    parser.add_argument("--train-batch", dest="batch", type=int, default=16)
    parser.add_argument("--train-steps", dest="steps", type=int, default=10)
    parser.add_argument("--warm-up", type=int, default=2, metavar="N", help="steps before those")
    parser.add_argument("--slice", type=int, metavar="ROWS", help="that UNet and VAE take at a time (all)")
    parser.add_argument("--budgets", type=_shares, default=DEFAULT_BUDGETS, help="an expert of each share")
    parser.add_argument("--mixed-precision", dest="precision", default="bf16", choices=("bf16", "no"))
    parser.add_argument("--workers", type=int, default=0, help="processes that load data ahead")
    parser.add_argument("--recompute", action="store_true", help="gradient checkpointing: less memory")
    arguments: argparse.Namespace = parser.parse_args()
    experts = len(arguments.budgets)
    if arguments.batch < 1 or arguments.batch % experts:
        raise UsageError(
            f"--train-batch {arguments.batch}: give a multiple of {experts}, for so many experts share it "
            "(--budgets)"
        )
    return arguments


def main() -> None:
    options = _arguments()
    rows, samples = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "checkpoint"
        create(
            place,
            preset=options.preset,
            budgets=options.budgets,
            size=options.size and (options.size.height, options.size.width),
        )
        checkpoint = Checkpoint.open(place)
        for stage, learner in learners(checkpoint, clock := Clock(this_device()), options):
            # Of each stage anew: a learner keeps the inputs that it was given.
            fed = feeds(checkpoint, Path(scratch) / "cache", options)
            samples[stage] = split(learner, fed, clock, options)
            for name, parts in samples[stage].items():
                whole = [sum(step) for step in zip(*parts.values(), strict=True)]
                shares = {part: f"{median(parts[part]) / median(whole):.1%}" for part in PARTS}
                rows.append({"run": stage, "from": name, "step": spread(whole), **shares})
    title = f"Where a training step's time goes ({options.preset}, batch {options.batch})"
    save("training_split", title, {"Steps": rows}, samples)


if __name__ == "__main__":
    run(main)
