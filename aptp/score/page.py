"""Pictures of the same captions side by side, as one self-contained HTML file: no script, no request."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path

import jinja2
import numpy as np

from aptp.score.metrics import CLIP_SCORE, METRICS
from aptp.score.pictures import Picture
from aptp.score.scoring import Scores

FOLDER = Path(__file__).parent
LARGEST = 256  # pixels along a side: more would make the page slow


def page(scores: Scores, names: Mapping[str, str], shown: int) -> str:
    """Return the page with `shown` captions: those on which CLIP scores differ most, or the first."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined
    )
    rows = [
        {
            "caption": next(iter(scores.sets.values())).pictures[row].caption or "",
            "cells": [
                {
                    "picture": _encoded(each.pictures[row]),
                    "expert": each.pictures[row].expert,
                    "clip": scores.aligned[name][row] if name in scores.aligned else None,
                }
                for name, each in scores.sets.items()
            ],
        }
        for row in chosen(scores, shown)
    ]
    return environment.get_template("page.html.jinja").render(
        scores=scores, names=names, metrics=METRICS, clip=CLIP_SCORE, rows=rows
    )


def chosen(scores: Scores, shown: int) -> list[int]:
    """Return the numbers of the captions to show."""
    count = len(next(iter(scores.sets.values())))
    if len(scores.aligned) < 2:
        return list(range(min(shown, count)))
    table = np.stack(list(scores.aligned.values()))
    order = np.argsort(table.min(0) - table.max(0), kind="stable")
    return [int(row) for row in order[:shown]]


def _encoded(picture: Picture) -> str:
    image, data = picture.open(), io.BytesIO()
    image.thumbnail((LARGEST, LARGEST))
    image.save(data, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"
