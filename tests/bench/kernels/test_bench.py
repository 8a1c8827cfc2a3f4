"""The harness on made-up samples and CPU tensors: tables, charts, refusals."""

import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

from bench.kernels import __main__ as bench
from bench.kernels import charts, contenders, crossover, timing
from bench.kernels.contenders import live_gates, ours
from bench.kernels.crossover import DENSE, GROUPED, MASKED, Mixture
from bench.kernels.shapes import Ceiling, Shape
from bench.kernels.timing import Timed, in_turns

SHAPE = Shape(4096, 4096, 5, 64)
H100 = {"multiprocessors": 132, "capability": (9, 0)}


def made_up(closed_cost: float, batch: int = 16) -> bench.Case:
    """The kernel takes 1 ms plus what closed heads cost, flash attention 2 ms, and cuDNN cannot run."""
    timed: dict[str, Timed | str] = {
        ours(f): Timed(3.0, [1e-3 * (f + closed_cost * (1 - f))] * 3) for f in bench.FRACTIONS
    }
    timed |= {"SDPA flash": Timed(0.1, [2e-3] * 3), "SDPA cuDNN": "No available kernel."}
    return bench.Case(512, SHAPE, batch, False, timed)


def test_rows_compare_with_peak_floor_and_the_best_backend() -> None:
    rows = {row["what"]: row for row in bench.rows_of(made_up(0.0), Ceiling(1e15, 1e12))}
    operations = 4 * 16 * 5 * 4096**2 * 64
    dense = rows[ours(1.0)]
    assert dense["TFLOP/s"] == f"{operations / 1e-3 / 1e12:.0f}"
    assert dense["of peak"] == f"{operations / 1e-3 / 1e15:.0%}"
    assert dense["to best SDPA"] == "0.50"
    assert dense["first call, s"] == "3.0"
    assert rows[ours(0.5)]["TFLOP/s"] == dense["TFLOP/s"]  # half the work in half the time
    assert rows["SDPA cuDNN"]["time"] == "No available kernel."


@pytest.mark.parametrize(
    ("closed_cost", "batch", "verdict"), [(0.05, 16, "yes"), (0.5, 16, "no"), (0.5, 1, "few waves")]
)
def test_savings_are_judged_where_there_are_many_waves(closed_cost: float, batch: int, verdict: str) -> None:
    (row,) = bench.savings([made_up(closed_cost, batch)], *H100.values())
    assert row["within 0.08"] == verdict
    assert row["50% live"] == f"{0.5 + 0.5 * closed_cost:.2f}"


def test_waves_count_programs_over_places() -> None:
    assert bench.waves(SHAPE, 16, *H100.values()) == 32 * 5 * 16 / 264


@pytest.mark.parametrize("live", [1.0, 0.75, 0.5, 0.25])
def test_live_gates_are_spread_over_samples(live: float) -> None:
    gates = live_gates(4, 5, live)
    assert gates.sum() == live * 20
    assert gates.sum(1).max() - gates.sum(1).min() <= 1


def test_what_cannot_run_becomes_a_message(without_gpu: None) -> None:
    def refuse() -> None:
        raise RuntimeError("No available kernel.\nAborting.")

    found = in_turns({"one": lambda: None, "other": refuse}, rounds=4)
    assert found["other"] == "No available kernel."
    assert isinstance(found["one"], Timed)
    assert len(found["one"].samples) == 4


def test_every_contender_runs(without_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "attentions", lambda preset, size: (Counter([Shape(9, 7, 4, 32)]), 0.1))
    monkeypatch.setattr(bench, "BATCHES", (2,))
    cases = list(bench.measured())
    assert [(case.size, case.backward) for case in cases] == [
        (s, b) for s in bench.SIZES for b in (False, True)
    ]
    for case in cases:
        for name in (*map(ours, bench.FRACTIONS), "SDPA math"):
            assert isinstance(case.timed[name], Timed), case.timed[name]


def test_a_wrong_kernel_is_not_timed(without_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = contenders.Inputs.draw(Shape(9, 7, 4, 32), 2)
    assert contenders.error(inputs) < 5e-3
    monkeypatch.setattr(contenders, "gated_attention", lambda q, k, v, gates: 2 * q)
    with pytest.raises(RuntimeError, match="nothing is timed"):
        contenders.error(inputs)


def mixture(batch: int, codes: int, masked: float, grouped: float) -> Mixture:
    times = {name: Timed(0.0, [x] * 3) for name, x in ((MASKED, masked), (GROUPED, grouped), (DENSE, 1.0))}
    return Mixture(batch, codes, times, best=0.1)


def test_codes_are_mixed_evenly() -> None:
    assert crossover.spread_codes(5, 2) == [0, 1, 0, 1, 0]


def test_the_best_possible_charges_macs_at_the_dense_rate() -> None:
    # 8 dense rows of 100 MACs take 2 s; rows at half and a quarter of that cost their share of a row.
    best = crossover.best_possible([0, 1], [50.0, 25.0], dense_macs=100.0, dense=2.0, largest=8)
    assert best == pytest.approx(0.75 * 2 / 8)


def test_the_table_says_which_to_choose() -> None:
    rows = crossover.table([mixture(4, 4, 0.2, 0.3), mixture(16, 4, 0.5, 0.3)])
    assert [row["choose"] for row in rows] == [MASKED, GROUPED]
    assert rows[0]["masked to grouped"] == "0.67"


def test_every_way_of_a_mixed_batch_runs(without_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PRESET": "tiny", "LATENT": 16, "BATCHES": (2,), "CODES": (1, 2)}.items():
        monkeypatch.setattr(crossover, name, value)
    found = list(crossover.measure())
    assert [(one.batch, one.codes) for one in found] == [(2, 1), (2, 2)]
    assert all(one.best > 0 for one in found)


def test_charts_are_drawn(tmp_path: Path) -> None:
    charts.draw_live_fractions(tmp_path / "live.png", {"4096 tokens": [(1.0, 1.0), (0.5, 0.55)]}, "a GPU")
    charts.draw_crossover(tmp_path / "cross.png", [mixture(1, 1, 2, 1), mixture(4, 2, 2, 3)], "a GPU")
    for name in ("live.png", "cross.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench.kernels"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="measures on an NVIDIA GPU, and torch finds none here"):
        bench.main()


def test_samples_are_kept_with_the_first_call_apart() -> None:
    assert timing.Timed(9.0, [1.0, 3.0, 2.0]).seconds == 2.0
    assert bench._raw(Timed(9.0, [1.0])) == {"first": 9.0, "samples": [1.0]}
