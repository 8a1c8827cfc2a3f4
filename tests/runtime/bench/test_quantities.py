import pytest

from runtime.bench import quantities


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (75.02, "75 s"), (1.0, "1 s"), (0.0456, "45.6 ms"), (7.891e-6, "7.89 µs")],
)
def test_time(seconds: float | None, text: str) -> None:
    assert quantities.time(seconds) == text


@pytest.mark.parametrize(("share", "text"), [(None, "–"), (0.00123, "0.123 %"), (0.0, "0 %"), (1.5, "150 %")])
def test_percent(share: float | None, text: str) -> None:
    assert quantities.percent(share) == text


def test_ratio_with_and_without_an_interval() -> None:
    assert quantities.ratio({"middle": 1.937, "low": 1.9, "high": 1.97}) == "1.94 [1.9–1.97]"
    assert quantities.ratio({"middle": 0.5, "low": None, "high": None}) == "0.5"
    assert quantities.ratio(None) == "–"


@pytest.mark.parametrize(("count", "text"), [(402.1e9, "402.1 G"), (1074.6e9, "1.1 T"), (12.0, "12 ")])
def test_scaled(count: float, text: str) -> None:
    assert quantities.scaled(count) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(3.5 * 2**30, "3.50 GiB"), (5 * 2**20, "5.0 MiB"), (-(2**21), "-2.0 MiB"), (512, "0.5 KiB")],
)
def test_size(count: float, text: str) -> None:
    assert quantities.size(count) == text


def test_number() -> None:
    assert (quantities.number(0.966), quantities.number(None)) == ("0.97", "–")
