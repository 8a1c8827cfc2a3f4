"""Prompts grouped by a known property: tier, amount of things to draw, length."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aptp.data.sample import Sample
from aptp.data.scenes.scene import TIERS, Scene
from aptp.evaluate.routing import chance_information, crossed, mutual_information
from aptp.score.intervals import bootstrap

LENGTHS = 4  # groups that prompts are divided into by their number of words


@dataclass(frozen=True, slots=True)
class PromptGroup:
    """Prompts that share a property.

    `counts`: prompts per code; `budget`: their mean cost as a share of dense, with its 95 % interval.
    """

    name: str
    counts: list[int]
    budget: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Grouping:
    """Prompts in groups by one property.

    `information`: mutual information of code and group, in bits; `by_chance`: its value where code and group
    are independent.
    """

    by: str
    groups: list[PromptGroup]
    information: float
    by_chance: float


def groupings(samples: Sequence[Sample], codes: Sequence[int], budgets: Sequence[float]) -> list[Grouping]:
    """Group prompts by every property that all `samples` have.

    `codes` [N]: the code of each prompt; `budgets` [K]: the cost of each code.
    """
    named: dict[str, list[str]] = {}
    if all(isinstance(sample.metadata.get("scene"), Scene) for sample in samples):
        scenes: list[Scene] = [sample.metadata["scene"] for sample in samples]
        named["tier"] = [scene.tier for scene in scenes]
        named["what is to be drawn"] = [_amount(scene) for scene in scenes]
    named["words in the prompt"] = _lengths([sample.caption for sample in samples])
    return [_grouping(by, names, codes, budgets) for by, names in named.items()]


def _grouping(by: str, names: Sequence[str], codes: Sequence[int], budgets: Sequence[float]) -> Grouping:
    table = crossed(codes, names, len(budgets))
    order = sorted(table, key=_place)
    groups = []
    for name in order:
        spent = np.repeat(budgets, table[name])
        groups.append(PromptGroup(name, table[name], (float(spent.mean()), *bootstrap(spent.tolist()))))
    counts = [group.counts for group in groups]
    return Grouping(by, groups, mutual_information(counts), chance_information(counts))


def _amount(scene: Scene) -> str:
    if not scene.things:
        return "a written word"
    things = scene.count if scene.tier == "count" else len(scene.things)
    return f"{things} thing{'s' if things > 1 else ''}"


def _lengths(prompts: Sequence[str]) -> list[str]:
    """Return each prompt's range of lengths; a range holds about a quarter of the prompts."""
    counts = [len(prompt.split()) for prompt in prompts]
    tops = sorted({int(np.quantile(counts, (i + 1) / LENGTHS, method="higher")) for i in range(LENGTHS)})
    starts = [min(counts), *(top + 1 for top in tops[:-1])]
    names = [f"{a} to {b}" if b > a else str(a) for a, b in zip(starts, tops, strict=True)]
    return [names[next(i for i, top in enumerate(tops) if count <= top)] for count in counts]


def _place(name: str) -> float:
    """Return a sort key: tiers in their own order, amounts by number, unknown ones last."""
    first = name.split()[0]
    return TIERS.index(name) if name in TIERS else int(first) if first.isdigit() else float("inf")
