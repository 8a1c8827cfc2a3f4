"""Both stages on SD 2.1's true geometry, random weights: two optimisation steps each, in bounded memory."""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

GIB = 2**30
LIMIT = 20 * GIB
SIDE = 512
STEPS = 2


class Pictures:
    """Noise with a caption, at the size the model is deployed at."""

    def __getitem__(self, position):
        from aptp.data.sample import Sample

        pixels = np.random.default_rng(position).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        return Sample(f"picture number {position}", pixels)


def stage_1():
    import torch

    from aptp.pipeline import build_pipeline
    from aptp.presets import PRESETS
    from aptp.space.cost import mac_cost
    from aptp.space.discover import discover
    from aptp.train.budget import Budget
    from aptp.train.gate_policy import GatePolicy
    from aptp.train.learner import CodeLearner
    from aptp.train.method import PRESETS as METHODS

    pipeline = build_pipeline(PRESETS["sd21"], 0, torch.float32)
    pipeline.unet.enable_gradient_checkpointing()
    space = discover(pipeline.unet)
    cost = mac_cost(dict(pipeline.unet.config), space, SIDE // 8, SIDE // 8, 77)
    method = METHODS["tiny"]
    policy = GatePolicy(space, method, torch.zeros(1024), 1.0, 0)
    return CodeLearner(pipeline, policy, Budget(cost, method.budget))


def stage_2():
    import torch

    from aptp.finetune.learner import ExpertLearner
    from aptp.finetune.weights import ExpertLossWeights
    from aptp.model.sliced import slice_unet
    from aptp.pipeline import build_pipeline
    from aptp.presets import PRESETS
    from aptp.space.cost import mac_cost
    from aptp.space.discover import discover
    from aptp.space.random_architectures import draw

    pipeline = build_pipeline(PRESETS["sd21"], 0, torch.float32)
    space = discover(pipeline.unet)
    cost = mac_cost(dict(pipeline.unet.config), space, SIDE // 8, SIDE // 8, 77)
    expert = slice_unet(pipeline.unet, draw(cost, 0.6, np.random.default_rng(0)))
    expert.enable_gradient_checkpointing()
    return ExpertLearner(pipeline, {0: expert}, ExpertLossWeights())


def train(stage):
    """In a process of its own: two steps, then what they took."""
    import torch

    from aptp.trainer import metrics_log
    from aptp.trainer.loop import RunOptions, Training
    from aptp.trainer.precision import warning
    from aptp.trainer.recipe import Recipe

    learner = {"1": stage_1, "2": stage_2}[stage]()
    # Where bfloat16 is emulated, a step takes half an hour. Float32 needs more memory, and the limit stays.
    options = RunOptions(precision="no" if warning("bf16", torch.device("cpu")) else "bf16")
    with tempfile.TemporaryDirectory() as folder:
        Training(learner, Pictures(), Recipe(STEPS, 1, 1e-4, warmup=1), Path(folder), options).run(
            f"stage {stage}"
        )
        lines = metrics_log.read(Path(folder))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"peak": peak, "lines": lines}))  # noqa: T201 (the parent reads it)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("stage", ["1", "2"])
def test_two_steps_in_bounded_memory(stage):
    done = subprocess.run(
        [sys.executable, "-m", __name__, stage], capture_output=True, text=True, timeout=1700
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    sys.stdout.write(f"stage {stage}: peak {found['peak'] / GIB:.1f} GiB; {found['lines']}\n")
    assert found["peak"] < LIMIT
    assert [line["step"] for line in found["lines"]] == [0, 1]
    assert all(np.isfinite(line["loss"]) and line["gradient"] > 0 for line in found["lines"])


if __name__ == "__main__":
    train(sys.argv[1])
