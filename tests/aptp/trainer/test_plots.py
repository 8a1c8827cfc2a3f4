"""Curves of a record: a picture that can be opened, with a panel for every figure."""

import json

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from aptp.trainer import metrics_log, plots


def test_every_figure_gets_a_panel(tmp_path, monkeypatch):
    figures = [{"step": i, "loss": 1 / (i + 1), "rate": 0.1, "seconds": 1.0} for i in range(200)]
    figures[50]["late"] = 2.0
    (tmp_path / metrics_log.NAME).write_text("".join(json.dumps(line) + "\n" for line in figures))
    titles = []
    save = Figure.savefig

    def note(figure, *args, **options):
        titles.extend(axes.get_title() for axes in figure.axes)
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", note)
    picture = Image.open(plots.draw(tmp_path))
    assert titles == ["loss", "rate", "late"]
    assert np.asarray(picture.convert("L")).std() > 5
