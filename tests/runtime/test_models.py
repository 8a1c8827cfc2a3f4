"""Reduced precision is for experts that have passed parity with it, on the provider they passed on."""

from pathlib import Path
from typing import Any

import pytest

from runtime.bundle.reader import Bundle
from runtime.cache import Cache
from runtime.models import Models
from runtime.sessions import Sessions
from tests.bundles import edit, write_bundle


@pytest.mark.parametrize(
    ("passed", "provider", "wanted"),
    [
        (None, "openvino", "float32"),
        (["openvino"], "openvino", "fast"),
        (["openvino"], "cpu", "float32"),
    ],
)
def test_precision_of_an_expert(
    passed: list[str] | None, provider: str, wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle"
    write_bundle(bundle)
    if passed is not None:
        edit(bundle, lambda manifest: manifest["experts"]["0"].update(reduced_precision=passed))
    asked: list[str] = []
    real = Sessions.open

    def spy(self: Sessions, model: Any, provider: str = "cpu", **options: Any) -> Any:
        asked.append(options.get("precision", "float32"))
        return real(self, model, "cpu", overrides=options.get("overrides"))

    monkeypatch.setattr(Sessions, "open", spy)
    models = Models(Bundle.open(bundle), Cache(tmp_path / "cache"), provider, batch=1, threads=1)
    asked.clear()
    models.open_engine(models.bucket("0", 1, 8, 8))
    assert asked == [wanted]
