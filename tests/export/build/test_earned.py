"""Earned precision: what OpenVINO may compute experts in is planned for this class of processor, shown, and
kept by others'.

The rung itself is `test_parity`'s; here it says what the test wants, in builds that need no other process.
"""

import json
from types import SimpleNamespace

import pytest

from aptp.checkpoint.reader import Checkpoint
from export.build import __main__ as build
from export.build import parts, plan, workers
from export.build.workers import Outcome
from export.engines import manifest_entry
from export.parity import ladder
from runtime.bundle.reader import Bundle
from runtime.bundle.schema import Earned
from runtime.engines import openvino
from runtime.errors import ParityError, Refused, UsageError
from runtime.machine import processor
from tests.checkpoints import build_mini, change_weight, command, copy_bundle

pytestmark = pytest.mark.timeout(300)

HERE, ELSEWHERE = "amx_bf16", "avx512_bf16"
REALLY = openvino.missing()


@pytest.fixture
def machine(monkeypatch):
    """A processor of class `HERE`, which computes in bfloat16, with OpenVINO 2026.1, as fields to change."""
    has = SimpleNamespace(processor=HERE, reduced=True, version="2026.1.0", missing=None)
    real = plan.importlib.metadata.version
    monkeypatch.setattr(processor, "vectors", lambda: has.processor)
    monkeypatch.setattr(openvino, "missing", lambda: has.missing)
    monkeypatch.setattr(openvino, "computes_in", lambda precision: precision == "float32" or has.reduced)
    monkeypatch.setattr(
        plan.importlib.metadata, "version", lambda name: has.version if name == "openvino" else real(name)
    )
    return has


@pytest.fixture
def rung(monkeypatch, machine):
    """Builds in this process, where the rung says what `answers` has by expert: an error and whether it will
    do, or what to raise. `asked` are the precisions it was asked about.
    """
    found = SimpleNamespace(answers={}, asked=[])

    def run(tasks, *, progress, **budget):
        for task in tasks:
            stages = ["start"]

            def report(stage, share, stages=stages, name=task.name):
                stages.append(stage)
                progress(name, stage, share)

            try:
                yield Outcome(task.name, stages[-1], task.work(task.argument, report))
            except ParityError as error:
                yield Outcome(task.name, stages[-1], error=error)

    def climb(folder, output, feeds, wanted, precision, autocast, threads):
        assert (folder / "clock.onnx").exists()
        found.asked.append(precision)
        answer = found.answers[len(found.asked) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(workers, "run", run)
    monkeypatch.setattr(ladder, "autocast_error", lambda *rest: 0.01)
    monkeypatch.setattr(ladder, "openvino_beside_autocast", climb)

    def answer(*answers):
        found.answers, found.asked = answers, []

    found.answer = answer
    return found


@pytest.fixture
def bundle(tmp_path_factory, tmp_path):
    """A bundle whose experts have earned nothing, to build upon."""
    return copy_bundle(build_mini(tmp_path_factory), tmp_path)


def earned(bundle):
    manifest = Bundle.open(bundle).manifest
    return {name: [*expert.earned] for name, expert in manifest.experts.items()}


def measures(bundle):
    report = json.loads((bundle.with_name("bundle.report") / "report.json").read_text())
    return {one["name"]: one["measures"] for one in report["parts"] if one["name"].startswith("earned/")}


def bfloat16(of=HERE):
    return Earned("openvino", "bfloat16", of)


def test_what_passed_is_in_the_manifest_and_is_not_shown_again(mini, bundle, rung):
    rung.answer((0.011, True), (0.012, True))
    assert build.main(command(mini, bundle, "--engines", "openvino")) == 0
    assert earned(bundle) == {"0": [bfloat16()], "1": [bfloat16()]}
    assert rung.asked == ["bfloat16", "bfloat16"]
    assert measures(bundle)[f"earned/openvino/{HERE}/1"] == {"engine": 0.012, "autocast": 0.01}
    before = bundle.stat().st_ino
    rung.answer()
    assert build.main(command(mini, bundle, "--engines", "auto")) == 0
    assert (rung.asked, bundle.stat().st_ino) == ([], before)


def test_what_did_not_pass_stays_in_float32_and_the_report_has_both_errors(mini, bundle, rung, capsys):
    rung.answer((0.06, False), (0.012, True))
    assert build.main(command(mini, bundle, "--engines", "openvino")) == 0
    assert earned(bundle) == {"0": [], "1": [bfloat16()]}
    said = f"earned/openvino/{HERE}/0 stays in float32: bfloat16 errs by 6.0e-2, PyTorch's autocast by 1.0e-2"
    assert said in capsys.readouterr().err
    assert said in (bundle.with_name("bundle.report") / "report.md").read_text()


def test_an_expert_that_is_wrong_even_in_float32_is_not_published_and_named(mini, bundle, rung, capsys):
    rung.answer((0.011, True), ParityError("openvino in float32 = PyTorch", 0.01, 1e-4))
    assert build.main(command(mini, bundle, "--engines", "openvino")) == 1
    assert earned(bundle) == {"0": [bfloat16()]}
    said = capsys.readouterr().err
    assert (
        f"earned/openvino/{HERE}/1: FAILED at engine beside autocast: parity rung openvino in float32" in said
    )
    assert "\n   1       -" in said


def test_float32_is_shown_where_the_processor_has_no_less_and_earns_nothing(mini, bundle, rung, machine):
    machine.reduced, machine.processor = False, "avx2"
    rung.answer((1e-6, False), (1e-6, False))
    assert build.main(command(mini, bundle, "--engines", "openvino")) == 0
    assert earned(bundle) == {"0": [], "1": []}
    assert rung.asked == ["float32", "float32"]
    assert measures(bundle)["earned/openvino/avx2/0"] == {"engine": 1e-6}


def test_what_was_earned_elsewhere_is_kept_until_its_expert_changes(checkpoint, bundle, rung, machine):
    machine.processor = ELSEWHERE
    rung.answer((0.011, True), (0.06, False))
    assert build.main(command(checkpoint, bundle, "--engines", "openvino")) == 0
    machine.processor = HERE
    rung.answer((0.011, True), (0.011, True))
    assert build.main(command(checkpoint, bundle, "--engines", "openvino")) == 0
    both = {"0": [bfloat16(), bfloat16(ELSEWHERE)], "1": [bfloat16()]}
    assert earned(bundle) == both
    assert len(measures(bundle)) == 4  # what did not pass is remembered as well
    before = bundle.stat().st_ino
    assert build.main(command(checkpoint, bundle, "--engines", "onnx")) == 0
    assert (earned(bundle), bundle.stat().st_ino) == (both, before)
    change_weight(checkpoint, "experts/0", 0.25)
    assert build.main(command(checkpoint, bundle, "--engines", "onnx")) == 0
    assert earned(bundle) == {"0": [], "1": [bfloat16()]}


def planned(capsys, mini, out, *words):
    capsys.readouterr()
    assert build.main(command(mini, out, *words, "--dry-run", "--json")) == 0
    found = [entry["part"] for entry in json.loads(capsys.readouterr().out)]
    return [name for name in found if name.startswith("earned/")]


def test_graphs_alone_earn_nothing(mini, tmp_path, machine, capsys):
    assert planned(capsys, mini, tmp_path / "b", "--engines", "onnx") == []


@pytest.mark.parametrize("engine", ["auto", "openvino", "onnx,openvino"])
def test_every_expert_is_shown_where_openvino_is(mini, tmp_path, machine, capsys, engine):
    names = planned(capsys, mini, tmp_path / "b", "--engines", engine)
    assert names == [f"earned/openvino/{HERE}/0", f"earned/openvino/{HERE}/1"]


def test_who_names_no_engine_gets_what_is_here(machine):
    named = build.arguments(["--codes", "all"]).engine
    assert plan.parse_engines(named) == ("openvino",)
    machine.missing = "openvino is not installed"
    assert plan.parse_engines(named) == ()


def test_without_openvino_auto_plans_none_and_who_asks_is_refused(mini, tmp_path, machine, capsys):
    machine.missing = "openvino is not installed"
    assert planned(capsys, mini, tmp_path / "b", "--engines", "auto") == []
    with pytest.raises(Refused, match="--engines openvino: openvino is not installed; use onnx or auto"):
        build.main(command(mini, tmp_path / "b", "--engines", "openvino", "--dry-run"))


def test_a_precision_that_openvino_has_not(mini, tmp_path, machine):
    with pytest.raises(UsageError, match=r"--precision: openvino has no 'float16' \(did you mean 'bfloat16'"):
        build.main(command(mini, tmp_path / "b", "--engines", "openvino", "--precision", "float16"))


def test_a_precision_that_the_processor_has_not(mini, tmp_path, machine):
    machine.reduced, machine.processor = False, "avx2"
    with pytest.raises(Refused, match=r"--precision bfloat16: this processor \(avx2\) does not compute"):
        build.main(command(mini, tmp_path / "b", "--engines", "openvino", "--precision", "bfloat16"))


def spec_of(mini, out, precision=None):
    return plan.BuildSpec(mini, out, ("0",), ("ddim",), ("openvino",), precision, None, 1, 1, 1 << 30)


def part_of(spec):
    (part,) = [one for one in plan.parts(Checkpoint.open(spec.checkpoint), spec) if one.kind == "openvino"]
    return part


def test_it_has_to_be_shown_anew_by_another_version_precision_or_processor(mini, tmp_path, machine):
    keys = [part_of(spec_of(mini, tmp_path)).key, part_of(spec_of(mini, tmp_path, "float32")).key]
    machine.version = "2026.2.0"
    keys.append(part_of(spec_of(mini, tmp_path)).key)
    machine.processor = ELSEWHERE
    keys.append(part_of(spec_of(mini, tmp_path)).key)
    assert len(set(keys)) == 4


@pytest.mark.skipif(REALLY is not None, reason=f"no OpenVINO here: {REALLY}")
def test_openvino_in_float32_is_pytorch_and_leaves_no_file(mini, tmp_path_factory, tmp_path):
    spec, folder = spec_of(mini, tmp_path / "b", "float32"), tmp_path / "part"
    folder.mkdir()
    source = build_mini(tmp_path_factory)
    made = parts.make(parts.PartJob(part_of(spec), spec, folder, lambda stage, share: None, source))
    assert 0 < made.measures["engine"] <= 1e-4
    assert made.facts["passed"] is False
    assert made.facts["processor"] == processor.vectors()
    assert not list(folder.iterdir())
    assert not list(source.rglob("serve.onnx.data"))


def test_nothing_that_was_compiled_of_an_expert_that_failed_is_published(mini, bundle, rung, monkeypatch):
    def compiled(job, checkpoint):
        (job.place(f"experts/{job.part.item}/unet") / "aoti.pt2").write_bytes(b"machine code")
        wanted = manifest_entry.wanted("aoti", checkpoint.latent_size, None)
        return parts.Made(wanted, {"engine": 0.0, "autocast": 0.0})

    monkeypatch.setattr(parts, "_aoti", compiled)
    rung.answer(ParityError("openvino in float32 = PyTorch", 0.1, 1e-4), (0.012, True))
    assert build.main(command(mini, bundle, "--engines", "openvino,aoti")) == 1
    (expert,) = earned(bundle)
    assert [path.parent.parent.name for path in bundle.rglob("aoti.pt2")] == [expert]
    Bundle.open(bundle).verify()
