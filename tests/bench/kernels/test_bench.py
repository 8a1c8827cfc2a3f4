"""The harness on made-up samples and CPU tensors: tables, charts, refusals."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from triton.errors import TritonError

from bench.kernels import __main__ as bench
from bench.kernels import attention, contenders, crossover, floor
from bench.kernels.attention import Case
from bench.kernels.contenders import GATHERED, KERNEL, STRAIGHT_THROUGH, Inputs, at, live_gates
from bench.kernels.crossover import DENSE, GROUPED, MASKED, Mixture
from bench.kernels.shapes import Ceiling, Shape
from bench.kernels.timing import KernelWork, Timing, in_turns
from runtime.errors import EnvironmentMismatch

ROOT = Path(__file__).parents[3]
SHAPE = Shape(4096, 4096, 5, 64)
GPU = Ceiling(1e15, 1e12, 1e-6, 132)
H100 = {"capability": (9, 0), "places": 2 * 132}


def made_up(closed_cost: float, batch: int = 16) -> Case:
    """The kernel takes 1 ms plus what closed heads cost, flash attention 2 ms, and cuDNN cannot run."""
    timed: dict[str, Timing | str] = {
        at(KERNEL, f): Timing(3.0, 8e-5, [1e-3 * (f + closed_cost * (1 - f))] * 3)
        for f in attention.FRACTIONS
    }
    timed |= {"SDPA flash": Timing(0.1, 1e-5, [2e-3] * 3), "SDPA cuDNN": "No available kernel."}
    return Case(512, SHAPE, batch, False, timed)


def test_rows_compare_with_peak_floor_and_the_best_backend() -> None:
    rows = {row["what"]: row for row in attention.rows_of(made_up(0.0), GPU, (9, 0))}
    operations = 4 * 16 * 5 * 4096**2 * 64
    dense = rows[at(KERNEL, 1.0)]
    assert dense["TFLOP/s"] == f"{operations / 1e-3 / 1e12:.0f}"
    assert dense["of peak"] == f"{operations / 1e-3 / 1e15:.0%}"
    assert dense["to best SDPA"] == "0.50"
    assert dense["CPU, µs"] == "80"
    assert dense["first call, s"] == "3.0"
    assert rows[at(KERNEL, 0.5)]["TFLOP/s"] == dense["TFLOP/s"]  # half the work in half the time
    assert rows["SDPA cuDNN"]["time"] == "No available kernel."
    assert len({tuple(row) for row in rows.values()}) == 1  # one table


@pytest.mark.parametrize(
    ("closed_cost", "batch", "verdict"), [(0.05, 16, "yes"), (0.5, 16, "no"), (0.5, 1, "few waves")]
)
def test_savings_are_judged_where_there_are_many_waves(closed_cost: float, batch: int, verdict: str) -> None:
    (row,) = attention.savings([made_up(closed_cost, batch)], *H100.values())
    assert row["within 0.08"] == verdict
    assert row["50% live"] == f"{0.5 + 0.5 * closed_cost:.2f}"


def test_what_did_not_run_saves_nothing() -> None:
    case = made_up(0.0)
    case.timed[at(KERNEL, 0.5)] = "out of memory"
    assert attention.savings([case], *H100.values()) == []


def test_waves_count_programs_over_places() -> None:
    assert attention.waves(SHAPE, 16, *H100.values()) == 32 * 5 * 16 / 264


@pytest.mark.parametrize("live", [1.0, 0.75, 0.5, 0.25])
def test_live_gates_are_spread_over_samples(live: float, without_gpu: None) -> None:
    gates = live_gates(4, 5, live)
    assert gates.sum() == live * 20
    assert gates.sum(1).max() - gates.sum(1).min() <= 1


@pytest.mark.parametrize("error", [RuntimeError, TritonError], ids=lambda error: error.__name__)
def test_what_cannot_run_becomes_a_message(error: type[Exception], without_gpu: None) -> None:
    def refuse() -> None:
        raise error("No available kernel.\nAborting.")

    found = in_turns({"one": KernelWork(lambda: None), "other": KernelWork(refuse)}, rounds=4)
    assert found["other"] == "No available kernel."
    assert isinstance(found["one"], Timing)
    assert len(found["one"].samples) == 4


def test_every_contender_runs(without_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "attentions", lambda size: {Shape(9, 7, 4, 32): 1})
    cases = list(attention.measured([512], [2], cached=20000))
    assert [case.backward for case in cases] == [False, True]
    always = [at(what, f) for what in (KERNEL, GATHERED) for f in attention.FRACTIONS]
    for case in cases:
        for name in (*always, "SDPA math", *[STRAIGHT_THROUGH] * case.backward):
            assert isinstance(case.timed[name], Timing), case.timed[name]


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")
def test_rivals_compute_the_same(without_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    x = Inputs.draw(Shape(130, 140, 4, 32), 2)
    inputs = [y.detach() for y in (x.q, x.k, x.v)]  # FlexAttention has no gradients on a CPU
    for live in (1.0, 0.5):
        made = {
            name: function(*inputs).detach().float()
            for name, function in contenders._skipping(2, 4, 130, 140, [live])
        }
        ours = made.pop(at(KERNEL, live))
        assert len(made) == 2
        for name, other in made.items():
            assert (other - ours).norm() <= 1e-2 * ours.norm(), name


def test_inputs_are_more_than_a_cache_holds(without_gpu: None) -> None:
    shape = Shape(9, 7, 4, 32)
    sets = Inputs.sets(shape, 2, 20000)
    assert len(sets) * shape.traffic(2, 1.0) >= 2 * 20000
    assert len(Inputs.sets(shape, 2, 0)) == 1


def test_a_wrong_kernel_is_not_timed(without_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = Inputs.draw(Shape(9, 7, 4, 32), 2)
    assert contenders.errors(inputs)["dq"] < 8e-3
    right = contenders.gated_attention

    def wrong_gradient(q: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        out = right(q, *others)
        return out + 0.1 * (q - q.detach())

    monkeypatch.setattr(contenders, "gated_attention", wrong_gradient)
    with pytest.raises(RuntimeError, match="error of dq .* nothing is timed"):
        contenders.errors(inputs)


def mixture(batch: int, codes: int, masked: float, grouped: float) -> Mixture:
    times = {
        name: Timing(0.0, 1e-3, [x] * 3) for name, x in ((MASKED, masked), (GROUPED, grouped), (DENSE, 1.0))
    }
    return Mixture(batch, codes, times, best=0.1)


def test_codes_are_mixed_evenly() -> None:
    assert crossover.spread_codes(5, 2) == [0, 1, 0, 1, 0]


def test_the_best_possible_charges_macs_at_the_dense_rate() -> None:
    # 8 dense rows of 100 MACs take 2 s; rows at half and a quarter of that cost their share of a row.
    best = crossover.best_possible([0, 1], [50.0, 25.0], dense_macs=100.0, dense=2.0, largest=8)
    assert best == pytest.approx(0.75 * 2 / 8)


def test_the_table_says_which_to_choose() -> None:
    tie = mixture(8, 4, 0.3, 0.3)
    tie.times[MASKED].samples[0] = 0.29
    tie.times[MASKED].samples[1] = 0.31
    rows = crossover.table([mixture(4, 4, 0.2, 0.3), tie, mixture(16, 4, 0.5, 0.3)])
    assert [row["choose"] for row in rows] == [MASKED, "either", GROUPED]
    assert rows[0]["masked to grouped"] == "0.67"


def test_every_way_of_a_mixed_batch_runs(without_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PRESET": "tiny", "LATENT": 16, "BATCHES": (2,), "CODES": (1, 2)}.items():
        monkeypatch.setattr(crossover, name, value)
    found = list(crossover.measure())
    assert [(one.batch, one.codes) for one in found] == [(2, 1), (2, 2)]
    assert all(one.best > 0 for one in found)


def test_charts_are_drawn(tmp_path: Path) -> None:
    drawn = attention.chart([made_up(0.1), made_up(0.1, batch=1)], tmp_path, "a GPU")
    drawn += crossover.chart([mixture(1, 1, 2, 1), mixture(4, 2, 2, 3)], tmp_path, "a GPU")
    assert len(drawn) == 3
    for name in drawn:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench.kernels"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EnvironmentMismatch, match="measures on an NVIDIA GPU, and torch finds none here"):
        bench.main()


def test_what_was_measured_is_kept_when_the_next_fails(
    without_gpu: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def one_then_none() -> Iterator[Mixture]:
        yield mixture(4, 2, 0.2, 0.3)
        raise KeyboardInterrupt

    monkeypatch.setattr(crossover, "measure", one_then_none)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(sys, "argv", ["bench.kernels", "--parts", "crossover", "--out", str(tmp_path)])
    with pytest.raises(KeyboardInterrupt):
        bench.main()
    assert "| 4 | 2 | 200.00 |" in (tmp_path / "kernels.crossover.md").read_text()


@pytest.mark.slow
def test_all_but_the_crossover_needs_torch_and_triton_alone() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['accelerate', 'diffusers', 'onnxruntime', 'ot'])); "
        "import bench.kernels.__main__, bench.kernels.attention, bench.kernels.sweep; "
        "import tests.gpu.attention.test_forward_cuda, tests.gpu.attention.test_backward_cuda; "
        "import tests.gpu.conftest, tests.gpu.attention.test_operator_cuda"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_floor_needs_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    arguments = ["--parts", "floor", "--sizes", "512", "--batches", "16", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["bench.kernels", *arguments])
    bench.main()
    assert "Floor on an H100, forward at 512 pixels" in (tmp_path / "kernels.floor.md").read_text()


def test_the_floor_of_the_largest_attention_is_its_products() -> None:
    row = floor.tables([512], [16])["Floor on an H100, forward at 512 pixels"][0]
    # 2560 blocks on 132 multiprocessors: 20 on the fullest, 19.4 on average.
    wanted = 4 * 16 * 5 * 4096**2 * 64 / 989.4e12 * 20 / (2560 / 132)
    assert row["floor at 100% live, µs"] == f"{1e6 * wanted:.1f}"
    assert row["bound by"] == "products"


def test_samples_are_kept_with_the_first_call_apart() -> None:
    assert Timing(9.0, 0.0, [1.0, 3.0, 2.0]).seconds == 2.0
    kept = attention.raw(made_up(0.0))["timed"]
    assert kept["SDPA flash"] == {"first": 0.1, "host": 1e-5, "samples": [2e-3] * 3}
