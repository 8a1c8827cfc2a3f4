"""The cache that builds on one GPU share: timings, the turn, and how long the last one took."""

import threading

import pytest

from export.engines.tensorrt.builder_cache import BuildForecast, Shop

TARGET = {"device": "cuda", "architecture": "sm90", "tensorrt": "10.13.3.9", "driver": "13.0"}


def test_timings_are_of_one_architecture_and_one_release(tmp_path):
    paths = {
        Shop(tmp_path, TARGET).timings,
        Shop(tmp_path, {**TARGET, "architecture": "sm89"}).timings,
        Shop(tmp_path, {**TARGET, "tensorrt": "10.14.1"}).timings,
    }
    assert len(paths) == 3
    assert Shop(tmp_path, {**TARGET, "driver": "13.1"}).timings in paths


def test_a_forecast_is_of_the_last_build_by_its_nodes(tmp_path):
    shop = Shop(tmp_path, TARGET)
    assert shop.forecast(3 << 30, 100) == BuildForecast(6 << 30, None)
    shop.remember(100, 900.0)
    shop.remember(200, 60.0)
    assert Shop(tmp_path, TARGET).forecast(1 << 30, 300) == BuildForecast(2 << 30, 90.0)


@pytest.mark.parametrize("text", ["", "[{", "\xff"])
def test_a_record_that_was_cut_off_forecasts_nothing(tmp_path, text):
    shop = Shop(tmp_path, TARGET)
    shop.timings.with_name("builds.json").write_text(text, encoding="latin-1")
    assert shop.forecast(1, 1).seconds is None


def test_how_a_forecast_reads():
    assert str(BuildForecast(3 << 30, 61.7)) == "at least 3.0 GiB of GPU memory, about 62 s"
    assert (
        str(BuildForecast(1 << 29, None)) == "at least 0.5 GiB of GPU memory, no plan was built here before"
    )


def test_builds_take_turns(tmp_path):
    order: list[str] = []

    def second() -> None:
        with Shop(tmp_path, TARGET).turn():
            order.append("second")

    with Shop(tmp_path, TARGET).turn():
        other = threading.Thread(target=second)
        other.start()
        other.join(0.05)
        order.append("first")
    other.join()
    assert order == ["first", "second"]
