"""The analysis of a router: how it routes held-out prompts and others, and what the codes have in common."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from aptp.analyse.findings import CodeFindings, Example, SetFindings, StudyFindings
from aptp.analyse.groups import groupings
from aptp.analyse.landing import Landing, quantiles
from aptp.analyse.words import enriched
from aptp.checkpoint.reader import Checkpoint
from aptp.data.sample import Sample
from aptp.data.sources import open_source
from aptp.evaluate.mixture import target
from aptp.model.mahalanobis import MahalanobisDetector
from aptp.ood.prompts import CPU, Progress, Reader
from aptp.ood.threshold import measure
from aptp.score.intervals import Rate, bootstrap
from aptp.space.architecture import Architecture
from aptp.space.groups import Kind

SHOWN = 5  # prompts of a list
FITTED = 8192  # captions that a distance is fitted on, where the checkpoint brings none


@dataclass(frozen=True, slots=True)
class StudyOptions:
    """The size of a study: `count` held-out captions of `data`, and `pictures` drawn of each code and set."""

    data: str = "scenes"
    count: int = 4000
    pictures: int = 8
    seed: int = 0

    @property
    def name(self) -> str:
        """The data's name, without the folder it lies in."""
        return self.data.partition(":")[0]


class RouterStudy:
    """The study of a checkpoint's router. `others`: sets of prompts from elsewhere, by name."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        options: StudyOptions,
        others: Mapping[str, Sequence[str]],
        progress: Progress = lambda done, total: None,
        device: torch.device = CPU,
    ) -> None:
        self.checkpoint, self._options, self._progress = checkpoint, options, progress
        self._others = others
        self._read = Reader(checkpoint, device)
        self._router = checkpoint.router()

    @cached_property
    def samples(self) -> list[Sample]:
        source = open_source(self._options.data, seed=self._options.seed, split="test")
        # Not those that a limit is measured on, where the checkpoint brings none.
        return [source[FITTED + i] for i in range(self._options.count)]

    @cached_property
    def landings(self) -> list[Landing]:
        """The landings of the held-out prompts, then of each set from elsewhere."""
        sets = {f"held-out {self._options.name}": [sample.caption for sample in self.samples], **self._others}
        return [
            Landing.of(name, prompts, self._read(prompts, self._progress), self._router, self._distance[0])
            for name, prompts in sets.items()
        ]

    @cached_property
    def budgets(self) -> list[float]:
        """The cost of each code, as a share of the dense UNet's MACs."""
        cost = self.checkpoint.cost()
        return [cost.of(architecture) / cost.dense for architecture in self.checkpoint.architectures]

    def findings(self, about: Mapping[str, Any]) -> StudyFindings:
        """Return everything but pictures; `about` goes in as it is."""
        home = self.landings[0]
        spent = np.repeat(self.budgets, home.counts)
        _, limit, limit_of = self._distance
        return StudyFindings(
            about=about,
            codes=[self._code(code) for code in range(len(self.budgets))],
            budget=(float(spent.mean()), *bootstrap(spent.tolist())),
            target=target(self.checkpoint.record.provenance),
            groupings=groupings(self.samples, home.codes.tolist(), self.budgets),
            limit=limit,
            limit_of=limit_of,
            sets=[self._set(landing, limit) for landing in self.landings],
        )

    @cached_property
    def _distance(self) -> tuple[MahalanobisDetector, float, str]:
        """Return the detector that measures distances, the limit, and the limit's origin."""
        detector, rule = self.checkpoint.detector(), self.checkpoint.record.out_of_distribution
        if detector is not None and rule is not None:
            told = f"the checkpoint's; above it prompts go to expert {rule.expert}"
            return detector, rule.threshold, told
        data, seed = self._options.data, self._options.seed
        train, test = (open_source(data, seed=seed, split=split) for split in ("train", "test"))
        found = measure(self._read, train, test, prompts=FITTED, seed=seed, progress=self._progress)
        told = f"what {found.share:.1%} of other held-out captions exceed; the checkpoint brings none"
        return found.detector, found.threshold, told

    def _code(self, code: int) -> CodeFindings:
        home, architecture = self.landings[0], self.checkpoint.architectures[code]
        own = home.members(code)
        rate = Rate(home.counts[code], home.count)
        # The first that came: not the best, and not the clearest.
        drawn = sorted(own)[: self._options.pictures]
        parameters = self.checkpoint.expert(str(code)).parameters()
        return CodeFindings(
            code=code,
            budget=self.budgets[code],
            parameters=sum(parameter.numel() for parameter in parameters),
            kept=_kept(architecture),
            skipped=list(architecture.dropped),
            count=home.counts[code],
            share=rate.share,
            interval=rate.interval,
            words=enriched(home.prompts, (home.codes == code).tolist()),
            typical=[_example(home, place) for place in own[:SHOWN]],
            drawn=[_example(home, place) for place in drawn],
        )

    def _set(self, landing: Landing, limit: float) -> SetFindings:
        order = np.argsort(landing.distances, kind="stable").tolist()
        stride = max(1, landing.count // max(1, self._options.pictures))
        picked = list(range(0, landing.count, stride))[: self._options.pictures]
        home = landing is self.landings[0]
        return SetFindings(
            name=landing.name,
            count=landing.count,
            counts=landing.counts,
            budget=float(np.repeat(self.budgets, landing.counts).mean()),
            similarities=[quantiles(column) for column in landing.similarities.T],
            margins=quantiles(landing.margins),
            distances=quantiles(landing.distances),
            beyond=float((landing.distances > limit).mean()),
            nearest=[_example(landing, place) for place in _different(landing, order)],
            farthest=[_example(landing, place) for place in _different(landing, order[::-1])],
            drawn=[] if home else [_example(landing, place) for place in picked],
        )


def _kept(architecture: Architecture) -> dict[str, float]:
    """Return the share of gates kept in each kind of layer, where the sublayer is not skipped."""
    shares: dict[str, list[bool]] = {kind.value: [] for kind in Kind}
    for (group, columns), owner in zip(architecture.space.columns(), architecture.space.owner, strict=True):
        if owner is None or architecture.keep[architecture.space.width_gates + owner]:
            shares[group.kind.value] += architecture.keep[columns].tolist()
    return {kind: sum(kept) / len(kept) for kind, kept in shares.items() if kept}


def _different(landing: Landing, order: Sequence[int]) -> list[int]:
    """Return the first few places of `order` whose prompts differ."""
    seen: dict[str, int] = {}
    for place in order:
        if len(seen) == SHOWN:
            break
        seen.setdefault(landing.prompts[place], place)
    return list(seen.values())


def _example(landing: Landing, place: int) -> Example:
    code, margin = int(landing.codes[place]), float(landing.margins[place])
    return Example(
        prompt=landing.prompts[place],
        code=code,
        similarity=round(float(landing.similarities[place, code]), 4),
        margin=round(margin, 4) if math.isfinite(margin) else None,
        distance=round(float(landing.distances[place]), 3),
    )
