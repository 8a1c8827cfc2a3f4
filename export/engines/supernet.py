"""The supernet as an engine: one package of the dense UNet under gates, which is every expert at once.

Refuses checkpoints whose experts are no slices of their dense UNet, as after stage 2: no gates make one
network of several.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aptp.checkpoint.reader import Checkpoint
from aptp.model.gates import GatedUNet
from aptp.model.sliced import gates_of
from aptp.model.slicer import sliced_state
from aptp.space.architecture import Architecture
from export.graphs import clock, weights
from export.parity import ladder
from runtime.errors import Refused

FOLDER = "supernet"


def check_slices(checkpoint: Checkpoint, names: Sequence[str]) -> None:
    """Raise Refused for an expert whose weights, as float16, are not those of the dense UNet."""
    dense = checkpoint.dense(torch.float16).state_dict()
    for name in names:
        expert = checkpoint.expert(name, torch.float16).state_dict()
        slices = sliced_state(dense, checkpoint.architecture(name))
        if not all(torch.equal(expert[key], tensor) for key, tensor in slices.items()):
            raise Refused(
                f"--engines supernet: expert {name} of {checkpoint.path} has weights of its own, as "
                "aptp.finetune makes them, and a supernet is the dense UNet's; use --engines aoti"
            )


def gated(checkpoint: Checkpoint) -> GatedUNet:
    """Return the dense UNet under gates, its clock taken out, with the weights that a bundle holds."""
    dense = checkpoint.dense()
    weights.round_to_half(dense)
    clock.take_out(dense)
    return GatedUNet(dense, checkpoint.space).eval()


@dataclass(frozen=True, slots=True)
class SupernetCase:
    """Inputs with their `gates` [B, G]; which expert each row follows, and what that gives [B, C, H, W]."""

    feed: ladder.Feed
    experts: tuple[str, ...]
    wanted: ladder.Array


def alone(name: str, code: Architecture, feed: ladder.Feed, wanted: ladder.Array) -> SupernetCase:
    """Return a call whose rows all follow one code."""
    return SupernetCase({**feed, "gates": gates_of(code, len(wanted))}, len(wanted) * (name,), wanted)


def mixed(calls: Sequence[SupernetCase]) -> SupernetCase:
    """Return one call of the rows of all."""
    feed = {name: torch.cat([call.feed[name] for call in calls]) for name in calls[0].feed}
    experts = tuple(name for call in calls for name in call.experts)
    return SupernetCase(feed, experts, np.concatenate([call.wanted for call in calls]))


def rows_beside_autocast(
    path: Path,
    wanted: Mapping[str, Any],
    calls: Sequence[SupernetCase],
    autocast: Mapping[str, float],
    threads: int,
) -> float:
    """Run rung 3 row by row: each row is compared with its own expert, under that one's `autocast` error.

    Returns the largest error. Raises ParityError, OutputError.
    """
    answers = ladder.compiled_outputs(path, wanted, [call.feed for call in calls], threads)
    worst = 0.0
    for call, found in zip(calls, answers, strict=True):
        for name, row, expected in zip(call.experts, found, call.wanted, strict=True):
            error, where = ladder.relative_rms(row, expected), f", expert {name} among {len(found)} rows"
            worst = max(worst, ladder.compiled_within(wanted, error, autocast[name], where))
    return worst
