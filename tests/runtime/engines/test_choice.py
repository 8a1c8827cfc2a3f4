"""The choice of engine: what was asked for or a reason why not, and for `auto` the best that is here."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.bundle.reader import Bundle
from runtime.engines import choice, nvidia, openvino, providers, target
from runtime.engines.choice import choose
from runtime.errors import EnvironmentMismatch, UsageError
from runtime.machine import processor
from tests.bundles import add_compiled, write_bundle


@pytest.fixture
def has(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Say which engines that run graphs this machine has, and the class of its processor."""

    def install(*names: str, vectors: str = "amx_bf16") -> None:
        def missing(name: str) -> str | None:
            return None if name in names else "it is not here"

        monkeypatch.setattr(providers, "missing", missing)
        monkeypatch.setattr(openvino, "missing", lambda: missing("openvino"))
        monkeypatch.setattr(openvino, "computes_in", lambda precision: precision == "float32")
        monkeypatch.setattr(processor, "vectors", lambda: vectors)

    return install


@pytest.mark.parametrize(
    ("here", "best"),
    [(("cpu",), "cpu"), (("cpu", "openvino"), "openvino"), (("cpu", "openvino", "cuda"), "cuda")],
)
def test_auto_is_the_best_that_is_here(bundle: Bundle, has: Any, here: tuple[str, ...], best: str) -> None:
    has(*here)
    assert choose("auto", bundle.manifest) == best


@pytest.mark.parametrize(
    ("vectors", "best"),
    [
        ("amx_bf16", "openvino"),
        ("avx512_bf16", "openvino"),
        ("avx512f", "cpu"),
        ("avx2", "cpu"),
        ("baseline", "cpu"),
    ],
)
def test_auto_takes_openvino_where_the_processor_has_bfloat16(
    bundle: Bundle, has: Any, vectors: str, best: str
) -> None:
    has("cpu", "openvino", vectors=vectors)
    assert choose("auto", bundle.manifest) == best
    assert choose("openvino", bundle.manifest) == "openvino"


def test_what_is_asked_for_is_used_or_refused_with_the_reason(bundle: Bundle, has: Any) -> None:
    has("cpu", "openvino")
    assert choose("cpu", bundle.manifest) == "cpu"
    with pytest.raises(EnvironmentMismatch, match="'cuda' cannot be used: it is not here; use"):
        choose("cuda", bundle.manifest)


def test_an_unknown_engine(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match=r"'openvno' is not one of auto, .*\(did you mean 'openvino'\?\)"):
        choose("openvno", bundle.manifest)


def test_onnxruntime_as_installed_lacks_a_provider() -> None:
    assert "lacks it (it comes with `aptp[gpu]`)" in (providers.missing("cuda") or "")


def test_onnxruntime_has_the_provider_and_the_machine_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    ort = SimpleNamespace(get_available_providers=lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(providers, "onnxruntime", lambda: ort)
    monkeypatch.setattr(nvidia, "device", lambda: None)
    assert "no NVIDIA GPU answers here" in (providers.missing("cuda") or "")
    monkeypatch.setattr(nvidia, "device", lambda: nvidia.Device("sm90", "13.0"))
    assert providers.missing("cuda") is None


def test_a_bundle_without_the_compiled_engine(bundle: Bundle) -> None:
    with pytest.raises(EnvironmentMismatch, match=r"holds none for expert '0'; .*--codes all --engines aoti"):
        choose("aoti", bundle.manifest)


HERE = {"device": "cpu", "architecture": "x86_64 avx2", "torch": "2.13.0"}


@pytest.mark.parametrize(
    ("field", "found", "reason"),
    [
        (
            "architecture",
            "x86_64 avx512f",
            "for architecture x86_64 avx2, and this machine has x86_64 avx512f",
        ),
        ("torch", "2.14.0", "was compiled for torch 2.13.0, and this machine has 2.14.0"),
        ("torch", None, "was compiled for torch 2.13.0, which this machine does not have"),
    ],
)
def test_an_engine_for_another_machine_is_refused_by_what_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str, found: str | None, reason: str
) -> None:
    bundle = write_bundle(tmp_path / "bundle", experts=["0"])
    add_compiled(bundle, "0", target=HERE)
    manifest = Bundle.open(bundle).manifest
    monkeypatch.setattr(target, "facts", lambda device: HERE)
    assert choose("aoti", manifest) == "aoti"
    machine = {**HERE, field: found} if found else {k: v for k, v in HERE.items() if k != field}
    monkeypatch.setattr(target, "facts", lambda device: machine)
    with pytest.raises(EnvironmentMismatch, match=f"{reason}.*build it on this machine"):
        choose("aoti", manifest)


@pytest.mark.parametrize(("driver", "fits"), [("12.9", False), ("13.0", True), ("13.1", True)])
def test_a_driver_is_a_floor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, driver: str, fits: bool
) -> None:
    bundle = write_bundle(tmp_path / "bundle", experts=["0"])
    add_compiled(bundle, "0", target={"device": "cuda", "driver": "13.0"})
    (entry,) = Bundle.open(bundle).manifest.experts["0"].compiled
    monkeypatch.setattr(nvidia, "device", lambda: nvidia.Device("sm90", driver))
    assert (target.mismatch(entry) is None) == fits


@pytest.mark.parametrize(
    ("engine", "here", "provider"),
    [
        ("cpu", ("cpu", "cuda"), "cpu"),
        ("openvino", ("cpu", "openvino", "cuda"), "cpu"),
        ("tensorrt-ep", ("cpu", "cuda", "tensorrt"), "tensorrt"),
        ("tensorrt", ("cpu", "cuda"), "cuda"),
        ("aoti", ("cpu", "openvino"), "cpu"),
    ],
)
def test_the_graphs_beside_experts_run_on_a_provider_of_onnx_runtime(
    has: Any, engine: str, here: tuple[str, ...], provider: str
) -> None:
    has(*here)
    assert choice.provider_beside(engine) == provider
