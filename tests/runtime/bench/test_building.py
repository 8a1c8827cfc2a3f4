import json
from pathlib import Path

import pytest

from runtime.bench.building import build_seconds
from runtime.bundle.reader import Bundle


def told(copy_path: Path, text: str) -> dict[str, float]:
    folder = copy_path.with_name("bundle.report")
    folder.mkdir()
    (folder / "report.json").write_text(text)
    return build_seconds(Bundle.open(copy_path))


def test_seconds_of_the_models_that_the_report_names(copy_path: Path) -> None:
    model = Bundle.open(copy_path).manifest.experts["1"].model
    parts = [{"key": model.identity, "seconds": 12.5}, {"key": "another build's", "seconds": 1}]
    assert told(copy_path, json.dumps({"parts": parts})) == {"1": 12.5}


@pytest.mark.parametrize("text", ["", "[]", '{"parts": 3}', '{"parts": [{"key": "a", "seconds": "long"}]}'])
def test_a_report_that_says_something_else_is_not_believed(copy_path: Path, text: str) -> None:
    assert told(copy_path, text) == {}


def test_without_a_report_nothing_is_known(copy_path: Path) -> None:
    assert build_seconds(Bundle.open(copy_path)) == {}
