"""The results of an analysis as plain values, for the page and for JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from aptp.analyse.groups import Grouping
from aptp.analyse.words import Word


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt with its code and margin. `margin` is None where there is one code."""

    prompt: str
    code: int
    similarity: float
    margin: float | None
    distance: float


@dataclass(frozen=True, slots=True)
class CodeFindings:
    """One code. `budget`: share of the dense UNet's MACs; `kept`: share of gates, by kind, in sublayers
    that are not skipped; `share` of the held-out prompts, with its 95 % interval.
    """

    code: int
    budget: float
    parameters: int
    kept: Mapping[str, float]
    skipped: list[str]
    count: int
    share: float
    interval: tuple[float, float]
    words: list[Word]
    typical: list[Example]
    drawn: list[Example]


@dataclass(frozen=True, slots=True)
class SetFindings:
    """The routing of a set of prompts.

    `similarities`: quantiles per code; `beyond`: the share of prompts whose distance is above the limit;
    `budget`: the mean cost of their codes, as a share of dense.
    """

    name: str
    count: int
    counts: list[int]
    budget: float
    similarities: list[Mapping[str, float]]
    margins: Mapping[str, float]
    distances: Mapping[str, float]
    beyond: float
    nearest: list[Example]
    farthest: list[Example]
    drawn: list[Example]


@dataclass(frozen=True, slots=True)
class StudyFindings:
    """`limit`: the distance that counts as far, and `limit_of`: where it is from. The first of `sets`
    is the held-out prompts of the data.
    """

    about: Mapping[str, Any]
    codes: list[CodeFindings]
    budget: tuple[float, float, float]
    target: float | None
    groupings: list[Grouping]
    limit: float
    limit_of: str
    sets: list[SetFindings]

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"
