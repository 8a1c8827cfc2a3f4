import json
from itertools import count
from pathlib import Path

import pytest

from runtime.bench import opening
from runtime.bench.opening import build_seconds, measure, measure_apart
from runtime.bench.spec import Contender
from runtime.bundle.reader import Bundle
from runtime.errors import EngineFailure, IntegrityError
from tests.bundles import write_bundle
from tests.runtime.bench.conftest import SpecOf


@pytest.fixture
def contender() -> Contender:
    return Contender("expert 0", "0", "cpu")


def test_opening_is_timed_step_by_step(spec_of: SpecOf, contender: Contender, bundle: Bundle) -> None:
    ticks = count()
    found = measure(spec_of(), contender, lambda: float(next(ticks)))
    times = (found.runtime, found.first, found.first_call, found.second_call, found.again, found.again_call)
    assert times == (1.0,) * 6  # two looks at the clock each
    model = bundle.manifest.experts["0"].model
    assert found.file_bytes == sum((bundle.root / path).stat().st_size for path in model.paths)
    assert set(found.memory) == {"before", "opened", "first call", "second call"}


def test_an_expert_is_opened_again_after_eviction(
    spec_of: SpecOf, contender: Contender, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runtime.models.models import Models

    opened: list[object] = []
    real = Models.open_engine
    monkeypatch.setattr(Models, "open_engine", lambda self, one: opened.append(one) or real(self, one))
    measure(spec_of(), contender)
    assert len(opened) == 2


def test_filling_the_cache_is_told(spec_of: SpecOf, contender: Contender, tmp_path: Path) -> None:
    spec = spec_of(cache=tmp_path)
    assert [measure(spec, contender).unpacked for _ in range(2)] == [True, False]


def test_a_process_of_its_own_measures_and_once_more_after_unpacking(
    spec_of: SpecOf, contender: Contender, tmp_path: Path
) -> None:
    found = measure_apart(spec_of(cache=tmp_path), contender)
    assert [one.unpacked for one in found] == [True, False]
    assert all(one.first > 0 and one.again > 0 for one in found)


def test_a_refusal_of_the_child_is_raised_here(spec_of: SpecOf, contender: Contender, tmp_path: Path) -> None:
    broken = write_bundle(tmp_path / "bundle", experts=("0",))
    (broken / "experts/0/unet/serve.onnx").write_bytes(b"nonsense")
    with pytest.raises(IntegrityError, match="serve.onnx"):
        measure_apart(spec_of(bundle=broken, cache=tmp_path / "cache"), contender)


def test_a_child_that_is_killed_is_told(
    spec_of: SpecOf, contender: Contender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_serve", _die)
    with pytest.raises(EngineFailure, match="expert 0: the process that opened it ended with code 9"):
        measure_apart(spec_of(), contender)


def _die(*_: object) -> None:
    import os

    os._exit(9)


def build_report(copy_path: Path, text: str) -> dict[str, float]:
    folder = copy_path.with_name("bundle.report")
    folder.mkdir()
    (folder / "report.json").write_text(text)
    return build_seconds(Bundle.open(copy_path))


def test_seconds_of_the_models_that_the_report_names(copy_path: Path) -> None:
    model = Bundle.open(copy_path).manifest.experts["1"].model
    parts = [{"key": model.identity, "seconds": 12.5}, {"key": "another build's", "seconds": 1}]
    assert build_report(copy_path, json.dumps({"parts": parts})) == {"1": 12.5}


@pytest.mark.parametrize("text", ["", "[]", '{"parts": 3}', '{"parts": [{"key": "a", "seconds": "long"}]}'])
def test_a_report_that_says_something_else_is_not_believed(copy_path: Path, text: str) -> None:
    assert build_report(copy_path, text) == {}


def test_without_a_report_nothing_is_known(copy_path: Path) -> None:
    assert build_seconds(Bundle.open(copy_path)) == {}
