"""An evaluation as files: every verdict as JSON, the figures with their intervals as Markdown."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from aptp.data.scenes.scene import TIERS
from aptp.evaluate.mixture import RoutedMixture
from aptp.evaluate.models_under_test import MIXED
from aptp.evaluate.verdicts import EVERY_TIER, Verdict, bindings, differences, rates
from aptp.score.intervals import Rate
from runtime.cli import markdown
from runtime.formats import DENSE


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """One subject's verdicts, its FD-scenes, and the seconds that drawing took."""

    verdicts: Sequence[Verdict]
    distance: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """An evaluation's results.

    `about`: what was evaluated, with what, how. `results`: by subject, renders among them. `codes`: the codes
    of the captions that were drawn. `mixture`: the routing of captions in general.
    """

    about: Mapping[str, Any]
    results: Mapping[str, EvaluationResult]
    codes: Sequence[int] | None = None
    mixture: RoutedMixture | None = None

    def summary(self) -> dict[str, Any]:
        """Return every figure, without the pictures they are made of; JSON as it is."""
        return {
            "subjects": {name: _summary(result) for name, result in self.results.items()},
            "routing": self.mixture.summary() if self.mixture else None,
        }

    def to_json(self) -> str:
        """Return everything, each picture's detections and score included."""
        body = {"about": dict(self.about), **self.summary(), "pictures": self._pictures()}
        return json.dumps(body, indent=1, ensure_ascii=False) + "\n"

    def to_markdown(self) -> str:
        sections = [
            "\n".join(f"- {name}: {value}" for name, value in self.about.items()),
            self.table(),
            "Shares with 95 % intervals (Wilson's, wider than need be for letters). `render` is the picture "
            "that the caption was made for: what the judge misses there is the judge's fault.",
            _bindings(self.results),
        ]
        if {MIXED, DENSE} <= set(self.results):
            sections.append(_against(self.results[MIXED], self.results[DENSE]))
        if self.mixture:
            sections.append(self.mixture.to_markdown())
        return "# Evaluation\n\n" + "\n\n".join(sections) + "\n"

    def table(self) -> str:
        """Return Markdown: a row per tier and measure, a column per subject."""
        found = {name: rates(result.verdicts) for name, result in self.results.items()}
        first = next(iter(found.values()))
        rows = [["tier", "measure", "n", *found]]
        for tier in (EVERY_TIER, *TIERS):
            for measure, rate in first.get(tier, {}).items():
                shares = [_share(each[tier][measure]) for each in found.values()]
                rows.append([tier, measure, str(rate.count), *shares])
        distances = [f"{result.distance:.3f}" for result in self.results.values()]
        rows.append(["", "FD-scenes", str(len(next(iter(self.results.values())).verdicts)), *distances])
        return markdown.table(rows[0], rows[1:])

    def _pictures(self) -> list[dict[str, Any]]:
        columns = [result.verdicts for result in self.results.values()]
        codes: Sequence[int | None] = self.codes or [None] * len(columns[0])
        return [
            {
                "number": number,
                "caption": verdicts[0].sample.caption,
                "scene": asdict(verdicts[0].scene),
                "code": codes[number],
                "subjects": {
                    name: {
                        "reading": asdict(verdict.reading),
                        "score": verdict.score,
                        "binding": dict(verdict.binding),
                    }
                    for name, verdict in zip(self.results, verdicts, strict=True)
                },
            }
            for number, verdicts in enumerate(zip(*columns, strict=True))
        ]


def _summary(result: EvaluationResult) -> dict[str, Any]:
    return {
        "fd_scenes": result.distance,
        "seconds": result.seconds,
        "binding": bindings(result.verdicts),
        "rates": {
            tier: {
                measure: {**asdict(rate), "share": rate.share, "interval": rate.interval}
                for measure, rate in measures.items()
            }
            for tier, measures in rates(result.verdicts).items()
        },
    }


def _bindings(results: Mapping[str, EvaluationResult]) -> str:
    """Say, where pairs differ in an attribute, whether each thing has its own, or the other's."""
    rows = [["pairs", "of", *results]]
    for attribute in ("shape", "colour"):
        counts = {name: bindings(result.verdicts)[attribute] for name, result in results.items()}
        for kind in ("right", "swapped", "other"):
            total = next(iter(counts.values())).total()
            rates_ = [_share(Rate(count[kind], count.total())) for count in counts.values()]
            rows.append([f"{attribute} {kind}", str(total), *rates_])
    return "## Binding\n\n" + markdown.table(rows[0], rows[1:])


def _against(mixed: EvaluationResult, dense: EvaluationResult) -> str:
    found = differences(mixed.verdicts, dense.verdicts)
    rows = [["measure, every tier", "mixed − dense"]]
    rows += [
        [measure, f"{mean:+.3f} ({low:+.3f} … {high:+.3f})"] for measure, (mean, low, high) in found.items()
    ]
    note = "On the same captions and start noise; intervals by bootstrap over pictures."
    return f"## The mixture against dense\n\n{markdown.table(rows[0], rows[1:])}\n\n{note}"


def _share(rate: Rate) -> str:
    low, high = rate.interval
    return f"{rate.share:.3f} ({low:.3f}–{high:.3f})" if rate.count else "–"
