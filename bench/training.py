"""The training speed of the default: steps per second, the share of time spent waiting for data, and the
floor.

    python -m bench.training [--train-steps 20]

Each learner runs its usual batch under bf16 autocast, as the commands do. The floor of a step is its
floating-point operations (torch's counter, forward and backward) over this machine's measured rate for a
large bfloat16 matrix product. Set the allocator as docs/TRAINING.md says.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from aptp.checkpoint.reader import Checkpoint
from aptp.data.batches import batches
from aptp.data.scenes.source import Scenes
from aptp.finetune import stage as finetuning
from aptp.finetune.learner import ExpertLearner
from aptp.finetune.weights import ExpertLossWeights
from aptp.new.create import create
from aptp.pipeline import classic_attention, read_pipeline, untrained_pipeline
from aptp.presets import PRESETS
from aptp.pretrain import codec, denoiser, text
from aptp.space.discover import discover
from aptp.train.gate_policy import GatePolicy
from aptp.train.learner import CodeLearner
from aptp.train.method import PRESETS as METHODS
from aptp.train.method import RECIPES
from aptp.train.pricing import costs
from aptp.trainer import metrics_log
from aptp.trainer.learner import Learner
from aptp.trainer.loop import Training
from aptp.trainer.recipe import Recipe
from aptp.trainer.rng import draws
from bench.report import save, spread
from runtime.cli.parser import Parser, run

WARM = 3
PRODUCT = 2048  # side of the matrix product that gives the machine's rate


def rate() -> float:
    """Return the floating-point operations per second of a large bfloat16 product."""
    a = torch.randn(PRODUCT, PRODUCT).bfloat16()
    times = []
    for _ in range(8):
        start = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - start)
    return 2 * PRODUCT**3 / min(times)


def learners(folder: Path) -> dict[str, tuple[Callable[[], Learner], Recipe]]:
    def pipeline() -> Any:
        made = untrained_pipeline(PRESETS["tiny"], 0)
        classic_attention(made.unet, made.vae)
        return made

    def codes() -> Learner:
        made, method = pipeline(), METHODS["tiny"]
        cost, budget = costs(made, discover(made.unet), (PRESETS["tiny"].size,) * 2, method)
        centre = torch.zeros(made.text_encoder.config.hidden_size)
        return CodeLearner(made, GatePolicy(cost.space, method, centre, 1.0, 0), budget)

    def experts() -> Learner:
        create(folder / "checkpoint", preset="tiny")
        checkpoint = Checkpoint.open(folder / "checkpoint")
        tuned = {code: checkpoint.expert(str(code)) for code in range(len(checkpoint.record.codes))}
        read = read_pipeline(checkpoint.path, torch.float32)
        classic_attention(read.unet, read.vae, *tuned.values())
        return ExpertLearner(read, tuned, ExpertLossWeights())

    return {
        "VAE": (lambda: codec.CodecLearner(pipeline().vae), codec.RECIPE),
        "text encoder": (
            lambda: text.TextLearner(pipeline().tokenizer, pipeline().text_encoder),
            text.RECIPE,
        ),
        "UNet": (lambda: denoiser.DenoiserLearner(pipeline()), denoiser.RECIPE),
        "stage 1": (codes, RECIPES["tiny"]),
        "stage 2, four experts": (experts, replace(finetuning.RECIPE, batch=4 * finetuning.RECIPE.batch)),
    }


def operations(learner: Learner, batch: int) -> int:
    sample = next(batches(Scenes(), batch))
    with FlopCounterMode(display=False) as counter:
        learner(sample, 0, draws(0, 0, range(batch), batch))["loss"].backward()
    learner.zero_grad()
    return int(counter.get_total_flops())


def main() -> None:
    parser = Parser(prog="python -m bench.training", description=__doc__)
    parser.add_argument("--train-steps", dest="steps", type=int, default=20)
    steps = parser.parse_args().steps
    peak, rows, samples = rate(), [], {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, (make, recipe) in learners(Path(scratch)).items():
            learner = make()
            work = operations(learner, recipe.batch)
            run = Path(scratch) / name
            short = replace(recipe, steps=WARM + steps)
            Training(learner, Scenes(), short, run).run(name)
            lines = metrics_log.read(run)[WARM:]
            seconds = [line["seconds"] for line in lines]
            samples[name] = {key: [line[key] for line in lines] for key in ("seconds", "waiting")}
            rows.append(
                {
                    "run": name,
                    "batch": recipe.batch,
                    "step": spread(seconds),
                    "steps/s": f"{1 / median(seconds):.2f}",
                    "images/s": f"{recipe.batch / median(seconds):.0f}",
                    "waiting for data": f"{sum(line['waiting'] for line in lines) / sum(seconds):.1%}",
                    "GFLOP per step": f"{work / 1e9:.0f}",
                    "floor": f"{1e3 * work / peak:.0f} ms",
                    "times the floor": f"{median(seconds) * peak / work:.1f}",
                }
            )
    title = f"Training the default ({peak / 1e12:.2f} TFLOP/s in a large bfloat16 product)"
    save("training", title, {"Steps": rows}, samples)


if __name__ == "__main__":
    run(main)
