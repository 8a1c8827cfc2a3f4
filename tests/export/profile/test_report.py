"""A profile in words: its sum beside whole UNets, its steps, what to doubt."""

import io
from dataclasses import replace

import numpy as np
from rich.console import Console

from aptp.space.architecture import harden
from aptp.space.profile import Whole
from export.profile import report
from tests.aptp.train.spaces import small
from tests.profiles import counted, part

SPACE, MACS = small()


def whole(architecture, error):
    seconds = 1e-9 * MACS.of(architecture) / (1 + error)
    return Whole(
        MACS.of(architecture) / MACS.dense, **architecture.to_json(), steady=True, samples=(seconds,)
    )


def test_the_sum_of_the_pieces_stands_beside_the_whole():
    pruned = harden(SPACE, np.random.default_rng(0).random(SPACE.size))
    dense = harden(SPACE, np.ones(SPACE.size))
    made = replace(counted(MACS), wholes=(whole(dense, -0.1), whole(pruned, 0.25)))
    first, second, *_ = report.closing(made, SPACE)
    assert first.startswith("whole UNet of 1.00 of the dense MACs")
    assert "(-10.0%), 1.000 of dense" in first
    share = MACS.of(pruned) / MACS.dense
    assert f"(+25.0%), {share:.3f} of dense" in second
    assert f"{share * 0.9 / 1.25:.3f} of dense; the pieces" in second


def test_what_never_settled_and_what_drifted_is_said():
    made = counted(MACS)
    restless = replace(made.parts[0], steady=False, pace=4e10)
    said = report.closing(replace(made, parts=(restless, *made.parts[1:])), SPACE)
    assert "ran at 1 to 40 GMACs a second" in "\n".join(said)
    assert f"1 pieces did not settle before they were timed: {restless.modules[0]}" in said


def test_steps_are_said_in_gates_and_channels():
    made = counted(MACS)
    assert report.closing(made, SPACE)[-1].endswith("aligning widths gains nothing here")
    first = made.parts[0]
    stepped = part(first.modules, {1: 1.0, 4: 1.3, 5: 9.0, 8: 9.3}, first.kind, first.chunk)
    said = report.closing(replace(made, parts=(stepped, *made.parts[1:])), SPACE)
    assert said[-1] == (
        f"{first.modules[0]}: the cost jumps just above 4 of 8 gates (8 channels): keep no more, or many more"
    )


def test_a_row_per_piece():
    made = counted(MACS)
    console = Console(width=500, file=io.StringIO())
    with console.capture() as capture:
        console.print(report.table(made))
    drawn = capture.get().splitlines()
    assert len(drawn) == 1 + len(made.parts)
    assert "1: 0.12  2: 0.25" in drawn[1]
