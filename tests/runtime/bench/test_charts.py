import sys

import pytest

from runtime.bench import charts, report
from runtime.bench.results import Results
from runtime.errors import EnvironmentMismatch


def test_what_there_is_no_number_for_is_not_drawn(findings: Results) -> None:
    findings.mixture = None
    del findings.comparisons[1]  # one number of rows is no curve
    assert set(charts.draw(report.document(findings))) == {charts.LATENCY}
    findings.comparisons.clear()
    assert charts.draw(report.document(findings)) == {}


def test_the_ideal_line_goes_from_the_origin_through_the_first(
    findings: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = []
    monkeypatch.setattr(charts, "_png", lambda figure: figures.append(figure) or b"")
    charts.draw(report.document(findings))
    (ideal,) = (line for line in figures[0].axes[0].get_lines() if line.get_linestyle() == ":")
    assert list(ideal.get_xdata()) == [0, 1.0]
    assert list(ideal.get_ydata()) == [0, 2000.0]  # dense: 1 GMAC in 2 s


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(EnvironmentMismatch, match=r"install `aptp\[bench\]`, or add --no-charts"):
        charts.check()
