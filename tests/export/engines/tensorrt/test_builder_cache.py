"""The cache that builds on one GPU share: timings, the turn, and how long the last one took."""

import threading

import pytest

from export.engines.tensorrt.builder_cache import BuilderCache, BuildForecast

TARGET = {"device": "cuda", "architecture": "sm90", "tensorrt": "10.13.3.9", "driver": "13.0"}


def test_timings_are_of_one_architecture_and_one_release(tmp_path):
    paths = {
        BuilderCache(tmp_path, TARGET).timings,
        BuilderCache(tmp_path, {**TARGET, "architecture": "sm89"}).timings,
        BuilderCache(tmp_path, {**TARGET, "tensorrt": "10.14.1"}).timings,
    }
    assert len(paths) == 3
    assert BuilderCache(tmp_path, {**TARGET, "driver": "13.1"}).timings in paths


def test_a_forecast_is_of_the_last_build_by_its_nodes(tmp_path):
    build_cache = BuilderCache(tmp_path, TARGET)
    assert build_cache.forecast(3 << 30, 100) == BuildForecast(6 << 30, None)
    build_cache.remember(100, 900.0)
    build_cache.remember(200, 60.0)
    assert BuilderCache(tmp_path, TARGET).forecast(1 << 30, 300) == BuildForecast(2 << 30, 90.0)


@pytest.mark.parametrize("text", ["", "[{", "\xff"])
def test_a_record_that_was_cut_off_forecasts_nothing(tmp_path, text):
    build_cache = BuilderCache(tmp_path, TARGET)
    build_cache.timings.with_name("builds.json").write_text(text, encoding="latin-1")
    assert build_cache.forecast(1, 1).seconds is None


def test_how_a_forecast_reads():
    assert str(BuildForecast(3 << 30, 61.7)) == "at least 3.0 GiB of GPU memory, about 62 s"
    assert (
        str(BuildForecast(1 << 29, None)) == "at least 0.5 GiB of GPU memory, no plan was built here before"
    )


def test_builds_take_turns(tmp_path):
    order: list[str] = []

    def second() -> None:
        with BuilderCache(tmp_path, TARGET).turn():
            order.append("second")

    with BuilderCache(tmp_path, TARGET).turn():
        other = threading.Thread(target=second)
        other.start()
        other.join(0.05)
        order.append("first")
    other.join()
    assert order == ["first", "second"]
