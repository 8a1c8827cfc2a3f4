"""The precision of an expert: one rule each of what is asked for, earned, and said in the log."""

import logging
from dataclasses import replace

import pytest

from runtime.bundle.reader import Bundle
from runtime.bundle.schema import Earned, ImageComparison, Manifest, Model
from runtime.engines import openvino, precision, providers
from runtime.engines.choice import choose
from runtime.errors import EnvironmentMismatch, UsageError
from runtime.machine import processor

HERE = Earned("openvino", "bfloat16", "amx_bf16")
SHOWN = ImageComparison("all", 2400, 0.0, -0.01, 0.01, -0.02)
JUDGED = Earned("openvino", "int8", "amx_bf16", (SHOWN,))


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor with OpenVINO that computes in bfloat16, and no GPU."""
    monkeypatch.setattr(processor, "vectors", lambda: "amx_bf16")
    monkeypatch.setattr(openvino, "missing", lambda: None)
    monkeypatch.setattr(openvino, "computes_in", lambda asked: True)
    monkeypatch.setattr(providers, "missing", lambda name: None if name == "cpu" else "no GPU")


@pytest.fixture
def no_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "computes_in", lambda asked: asked == "float32")
    monkeypatch.setattr(processor, "vectors", lambda: "avx2")


def having(manifest: Manifest, earned: dict[str, tuple[Earned, ...]]) -> Manifest:
    """The manifest where these experts, and no other, have earned something."""
    experts = {
        name: replace(expert, earned=earned.get(name, ())) for name, expert in manifest.experts.items()
    }
    return replace(manifest, experts=experts)


@pytest.fixture
def manifest(bundle: Bundle) -> Manifest:
    """Every expert has earned bfloat16 here."""
    return having(bundle.manifest, dict.fromkeys(bundle.manifest.experts, (HERE,)))


@pytest.mark.parametrize(
    ("asked", "engine"),
    [
        (None, "cpu"),
        (None, "aoti"),
        ("float32", "openvino"),
        ("float32", "cpu"),
        ("float32", "tensorrt-ep"),
        ("bfloat16", "openvino"),
    ],
)
def test_what_can_be_had_is_not_refused(manifest: Manifest, asked: str | None, engine: str) -> None:
    precision.check(asked, engine, manifest)


def test_an_unknown_precision(manifest: Manifest) -> None:
    with pytest.raises(
        UsageError, match=r"'bfloat61' is not one of float32, bfloat16, int8 \(did you mean 'bflo"
    ):
        precision.check("bfloat61", "openvino", manifest)


@pytest.mark.parametrize("asked", precision.PRECISIONS)
def test_a_compiled_engine_has_its_own(manifest: Manifest, asked: str) -> None:
    with pytest.raises(EnvironmentMismatch, match="'aoti' was compiled in its own; leave precision out"):
        precision.check(asked, "aoti", manifest)


def test_an_engine_that_computes_in_float32_alone(manifest: Manifest) -> None:
    with pytest.raises(EnvironmentMismatch, match="'cpu' computes in float32; use engine 'openvino', or"):
        precision.check("bfloat16", "cpu", manifest)


@pytest.mark.usefixtures("no_bfloat16")
def test_a_processor_that_does_not_compute_in_it(manifest: Manifest) -> None:
    with pytest.raises(EnvironmentMismatch, match=r"this processor \(avx2\) does not compute in it; use fl"):
        precision.check("bfloat16", "openvino", manifest)


@pytest.mark.parametrize(
    "earned",
    [
        pytest.param((), id="nothing"),
        pytest.param((replace(HERE, processor="avx512_bf16"),), id="on another class of processor"),
        pytest.param((replace(HERE, engine="cpu"),), id="by another engine"),
        pytest.param((replace(HERE, precision="float16"),), id="another precision"),
    ],
)
def test_an_expert_that_has_not_earned_it_here(manifest: Manifest, earned: tuple[Earned, ...]) -> None:
    some = having(manifest, {**dict.fromkeys(manifest.experts, (HERE,)), "2": earned})
    with pytest.raises(EnvironmentMismatch) as caught:
        precision.check("bfloat16", "openvino", some)
    assert "expert '2' has not earned it on engine 'openvino' and this class of processor (amx_bf16)" in str(
        caught.value
    )
    assert "--engines openvino, or use float32" in str(caught.value)
    assert precision.of(some.experts["2"], "openvino", None) == "float32"
    assert precision.of(some.experts["1"], "openvino", None) == "bfloat16"
    assert precision.unearned("openvino", some) == ["2"]


def test_what_is_asked_for_is_what_is_computed_in(manifest: Manifest) -> None:
    for asked in precision.PRECISIONS:
        assert precision.of(manifest.experts["0"], "openvino", asked) == asked


def test_what_one_engine_has_earned_no_other_may_use(manifest: Manifest) -> None:
    assert precision.of(manifest.experts["0"], "cpu", None) == "float32"
    assert precision.unearned("cpu", having(manifest, {})) == []


@pytest.mark.usefixtures("no_bfloat16")
def test_nothing_is_wanting_where_the_processor_has_no_more(manifest: Manifest) -> None:
    here = replace(HERE, processor="avx2")
    assert precision.of(replace(manifest.experts["0"], earned=(here,)), "openvino", None) == "float32"
    assert precision.unearned("openvino", having(manifest, {})) == []


def test_the_log_says_which_experts_compute_in_more_than_they_would_have_to(
    manifest: Manifest, caplog: pytest.LogCaptureFixture
) -> None:
    some = having(manifest, dict.fromkeys(("0", "1", "dense"), (HERE,)))
    precision.check("float32", "openvino", some)
    assert caplog.records == []
    precision.check(None, "openvino", some)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("runtime", logging.WARNING)
    assert "engine 'openvino' computes experts 2, 3 in float32" in record.getMessage()
    assert record.getMessage().endswith("--engines openvino")


def test_the_log_says_why_auto_does_without_openvino(
    manifest: Manifest, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino, "missing", lambda: "openvino is not installed")
    assert choose("auto", manifest) == "cpu"
    said = "engine auto is 'cpu': 'openvino' cannot be used: openvino is not installed"
    assert [record.getMessage() for record in caplog.records] == [said]
    with pytest.raises(EnvironmentMismatch, match="'openvino' cannot be used: openvino is not installed; us"):
        choose("openvino", manifest)


@pytest.mark.usefixtures("no_bfloat16")
def test_the_log_says_nothing_where_auto_would_not_take_openvino_anyway(
    manifest: Manifest, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for missing in (None, "openvino is not installed"):
        monkeypatch.setattr(openvino, "missing", lambda missing=missing: missing)
        assert choose("auto", manifest) == "cpu"
    assert caplog.records == []


@pytest.mark.parametrize("engine", ["auto", "openvino", "cpu"])
def test_the_log_says_nothing_where_nothing_is_wanting(
    manifest: Manifest, caplog: pytest.LogCaptureFixture, engine: str
) -> None:
    precision.check(None, choose(engine, manifest), manifest)
    assert caplog.records == []


@pytest.fixture
def quantized(manifest: Manifest) -> Manifest:
    """Every expert has eight bits, which nobody has judged."""
    model = Model("int8.xml", "8" * 64, "int8.bin")
    experts = {name: replace(expert, int8=model) for name, expert in manifest.experts.items()}
    return replace(manifest, experts=experts)


def test_eight_bits_that_nobody_judged_serve_by_name_and_the_log_says_so(
    quantized: Manifest, caplog: pytest.LogCaptureFixture
) -> None:
    some = having(quantized, dict.fromkeys(("0", "1", "dense"), (JUDGED,)))
    precision.check("int8", "openvino", some)
    (record,) = caplog.records
    assert (
        "engine 'openvino' computes experts 2, 3 in int8, whose images nobody has judged"
        in record.getMessage()
    )
    assert precision.of(some.experts["2"], "openvino", "int8") == "int8"
    assert precision.of(some.experts["2"], "openvino", None) == "float32"


def test_eight_bits_that_were_judged_here_are_taken(quantized: Manifest) -> None:
    some = having(quantized, dict.fromkeys(quantized.experts, (HERE, JUDGED)))
    assert precision.of(some.experts["0"], "openvino", None) == "int8"
    assert precision.of(some.experts["0"], "cpu", None) == "float32"
    assert precision.unearned("openvino", some) == []
    elsewhere = replace(JUDGED, processor="avx512_bf16")
    some = having(quantized, dict.fromkeys(quantized.experts, (HERE, elsewhere)))
    assert precision.of(some.experts["0"], "openvino", None) == "bfloat16"


@pytest.mark.usefixtures("no_bfloat16")
def test_eight_bits_are_not_taken_where_nobody_measured_that_they_are_faster(quantized: Manifest) -> None:
    here = replace(JUDGED, processor="avx2")
    some = having(quantized, dict.fromkeys(quantized.experts, (here,)))
    assert precision.of(some.experts["0"], "openvino", None) == "float32"
    precision.check("int8", "openvino", some)


def test_eight_bits_that_the_bundle_has_not(manifest: Manifest) -> None:
    with pytest.raises(
        EnvironmentMismatch, match="'int8': the bundle holds no such form of expert '0'; build"
    ):
        precision.check("int8", "openvino", manifest)
    with pytest.raises(EnvironmentMismatch, match="'cpu' computes in float32; use engine 'openvino', or"):
        precision.check("int8", "cpu", manifest)
