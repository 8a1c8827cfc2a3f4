"""Training of the judge on renders: one loop, one schedule, everything drawn from one seed."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from aptp.data.batches import batches
from aptp.evaluate.judge.distortion import distort
from aptp.evaluate.judge.judge_data import JudgeSamples
from aptp.evaluate.judge.network import JudgeNetwork, Outputs
from aptp.evaluate.judge.targets import IGNORED, Targets, targets

BATCH = 64
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.02
WARM_UP = 0.1  # of all steps; then a cosine down to nothing
CENTRE_WEIGHT = 10.0  # few of the cells hold a centre
LETTERS_WEIGHT = 10.0  # few of the columns hold a letter


def train(
    steps: int,
    *,
    seed: int = 0,
    batch: int = BATCH,
    progress: Callable[[int, Mapping[str, float]], None] = lambda step, losses: None,
) -> JudgeNetwork:
    """Return a judge in eval mode after `steps` steps of `batch` pictures.

    `progress` is told after each step how many are done, and the losses by question.
    """
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    network = JudgeNetwork()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, steps, pct_start=WARM_UP)
    for step, lesson in zip(range(1, steps + 1), batches(JudgeSamples(seed=seed), batch), strict=False):
        pictures = distort(lesson.images, rng).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            outputs = network(pictures)
        parts = losses(outputs, targets([metadata["layout"] for metadata in lesson.metadata]))
        optimizer.zero_grad()
        torch.autograd.backward(torch.stack(list(parts.values())).sum())
        optimizer.step()
        schedule.step()
        progress(step, {name: float(value.detach()) for name, value in parts.items()})
    network.eval()
    return network


def losses(outputs: Outputs, wanted: Targets) -> dict[str, Tensor]:
    """Return one scalar per question."""
    return {
        "centre": CENTRE_WEIGHT * F.binary_cross_entropy_with_logits(outputs.centre, wanted.centre),
        **{f"thing {name}": _choice(outputs.things[name], wanted.things[name]) for name in wanted.things},
        "letters": LETTERS_WEIGHT * _choice(outputs.letters.transpose(1, 2), wanted.letters),
        "word": F.binary_cross_entropy_with_logits(outputs.word["present"][:, 0], wanted.written.float()),
        **{f"word {name}": _choice(outputs.word[name], wanted.word[name]) for name in wanted.word},
        **{f"ground {name}": _choice(outputs.ground[name], wanted.ground[name]) for name in wanted.ground},
    }


def _choice(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the mean cross entropy over what is asked for; 0 if nothing is."""
    total = F.cross_entropy(logits, classes, ignore_index=IGNORED, reduction="sum")
    return total / (classes != IGNORED).sum().clamp(min=1)
