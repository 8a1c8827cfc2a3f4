"""The distribution of captions over a checkpoint's experts, and its cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aptp.data.sample import Sample
from aptp.data.scenes.scene import TIERS, Scene
from aptp.evaluate import routing
from aptp.evaluate.models_under_test import Subjects
from aptp.score.intervals import bootstrap
from runtime.cli import markdown

Mean = tuple[float, float, float]  # with the ends of its 95 % interval


@dataclass(frozen=True, slots=True)
class RoutedMixture:
    """The routing of samples.

    `codes`: of each sample. `budgets`: each code's share of the dense UNet's true MACs. `target`: the mean
    budget that training aimed at, if the checkpoint tells.

    `by_tier` and `by_things`: captions per code, by tier and by the number of things that are not words;
    empty for captions of other data than scenes.
    `changed`: captions whose code depends on the batch they are in.
    """

    codes: list[int]
    budgets: list[float]
    by_tier: dict[str, list[int]]
    by_things: dict[str, list[int]]
    changed: int
    target: float | None = None

    @classmethod
    def of(cls, subjects: Subjects, samples: Sequence[Sample]) -> "RoutedMixture":
        captions = [sample.caption for sample in samples]
        scenes = [sample.metadata["scene"] for sample in samples if "scene" in sample.metadata]
        codes = subjects.codes(captions)
        checkpoint = subjects.checkpoint
        cost = checkpoint.cost()
        budgets = [cost.of(architecture) / cost.dense for architecture in checkpoint.architectures]
        return cls(
            codes,
            budgets,
            _by_tier(codes, scenes, len(budgets)) if scenes else {},
            _by_things(codes, scenes, len(budgets)) if scenes else {},
            routing.changed_by_batch(checkpoint.router(), subjects.encode, captions, codes),
            target(checkpoint.record.provenance),
        )

    @property
    def counts(self) -> list[int]:
        """Captions per code."""
        return [self.codes.count(code) for code in range(len(self.budgets))]

    def budget(self, counts: Sequence[int]) -> Mean:
        """Return the mean cost, as a share of dense, of captions that went to the codes so often."""
        values = np.repeat(self.budgets, counts)
        return (float(values.mean()), *bootstrap(values.tolist()))

    @property
    def information(self) -> float:
        """The mutual information of a caption's code and tier, in bits."""
        return routing.mutual_information(list(self.by_tier.values()))

    @property
    def information_by_chance(self) -> float:
        return routing.chance_information(list(self.by_tier.values()))

    @property
    def _groups(self) -> dict[str, list[int]]:
        return {"all": self.counts, **self.by_tier, **self.by_things}

    def summary(self) -> dict[str, Any]:
        """Return every figure, as JSON."""
        return {
            "budgets": self.budgets,
            "target": self.target,
            "counts": self._groups,
            "mean_budget": {name: self.budget(counts) for name, counts in self._groups.items()},
            "information_bits": self.information if self.by_tier else None,
            "information_by_chance_bits": self.information_by_chance if self.by_tier else None,
            "changed_by_batch": self.changed,
        }

    def to_markdown(self) -> str:
        """Return a section: shares of the codes and mean budgets, by group."""
        rows = [["captions", "n", *(f"code {code}" for code in range(len(self.budgets))), "mean budget"]]
        rows.append(["budget", "", *(f"{budget:.3f}" for budget in self.budgets), ""])
        for name, counts in self._groups.items():
            total, (mean, low, high) = sum(counts), self.budget(counts)
            shares = [f"{count / total:.3f}" for count in counts]
            rows.append([name, str(total), *shares, f"{mean:.3f} ({low:.3f}–{high:.3f})"])
        sections = ["## Routing", markdown.table(rows[0], rows[1:]), self._realised()]
        if self.by_tier:
            sections.append(
                f"A caption's code tells {self.information:.3f} bits of its tier "
                f"({self.information_by_chance:.3f} would be chance)."
            )
        sections.append(
            f"{self.changed} of {len(self.codes)} captions get another code in batches of other sizes and "
            "orders."
        )
        return "\n\n".join(sections)

    def _realised(self) -> str:
        line = "Budgets are shares of the dense UNet's true MACs; intervals by bootstrap."
        if self.target is None:
            return line
        mean = self.budget(self.counts)[0]
        return f"{line} Training aimed at {self.target:.3f}; {mean:.4f} is {mean / self.target - 1:+.1%} off."


def target(provenance: Mapping[str, Any]) -> float | None:
    """Return the budget of the training that made the codes, in however many steps the checkpoint came from
    it.

    None where there was none, or where it was in seconds, which the codes' MACs do not have to meet.
    """
    while provenance:
        if "method" in provenance:
            in_macs = provenance.get("budget", {}).get("in", "MACs") == "MACs"
            return float(provenance["method"]["budget"]) if in_macs else None
        provenance = provenance.get("from", {})
    return None


def _by_tier(codes: Sequence[int], scenes: Sequence[Scene], count: int) -> dict[str, list[int]]:
    found = routing.crossed(codes, [scene.tier for scene in scenes], count)
    return {tier: found[tier] for tier in TIERS if tier in found}


def _by_things(codes: Sequence[int], scenes: Sequence[Scene], count: int) -> dict[str, list[int]]:
    asked = sorted(
        (scene.count if scene.tier == "count" else len(scene.things), code)
        for scene, code in zip(scenes, codes, strict=True)
        if scene.things
    )
    names = [f"{things} thing{'s' if things > 1 else ''}" for things, _ in asked]
    return routing.crossed([code for _, code in asked], names, count)
