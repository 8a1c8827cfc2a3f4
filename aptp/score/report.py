"""Scores as files: JSON, Markdown, and a page of pictures."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aptp.score.inception import WIDTH
from aptp.score.intervals import GROUPS
from aptp.score.metrics import CLIP_SCORE, FID, KID, METRICS, Score
from aptp.score.page import page
from aptp.score.scoring import SAME, Encoders, Scores
from aptp.version import __version__
from runtime.cli import markdown
from runtime.errors import StorageError
from runtime.files.publish import write_file

FORMAT = "aptp.score 1"
DIGITS = {KID: 5}  # of a metric's values; of others, 3
INTERVALS = (
    "Intervals are of 95 %. Of the CLIP score: bootstrap over pictures. Of distances: jackknife, leaving out "
    f"each of {GROUPS} groups of pictures; the reference is taken as it is. They say how much another draw "
    "of so many captions would change a value, and nothing of its bias."
)
BIAS = (
    "FID and CMMD are larger of fewer pictures. `of half` is the mean value over each half of the pictures, "
    "`bias` the jackknife's estimate of the part due to n, which shrinks as 1/n where n is several times the "
    "number of features. Compare with values of as many pictures, reference pictures and steps alone. KID "
    "and the CLIP score have no such bias."
)


@dataclass(frozen=True, slots=True)
class Report:
    """Scores with `about`, which says how they were made; `names`: of the metrics, with these encoders."""

    scores: Scores
    about: Mapping[str, Any]
    names: Mapping[str, str]

    @classmethod
    def of(cls, scores: Scores, encoders: Encoders, against: Path | None) -> "Report":
        sizes = {name: each.check_size() for name, each in scores.sets.items()}
        about = {
            "pictures": {
                name: {
                    "folder": str(each.folder),
                    "n": len(each),
                    "size": list(sizes[name]),
                    "resize": each.resize,
                }
                for name, each in scores.sets.items()
            },
            "against": str(against) if against else None,
            "reference": dict(scores.reference_counts),
            "encoders": {
                name: {
                    "weights": each.weights,
                    "preprocessing": each.preprocessing,
                    "published": each.published,
                }
                for name, each in encoders.pictures.items()
            },
            "start noise": scores.noise,
            "aptp": __version__,
        }
        metrics = next(iter(scores.scores.values()))
        return cls(scores, about, {metric: encoders.called(metric) for metric in metrics})

    def to_json(self) -> str:
        """Return everything, the CLIP score of each picture included."""
        scores = self.scores
        body = {
            "format": FORMAT,
            "about": dict(self.about),
            "metrics": {
                metric: {"name": name, "lower_is_better": METRICS[metric].lower_is_better}
                for metric, name in self.names.items()
            },
            "sets": {name: _plain(each) for name, each in scores.scores.items()},
            "baseline": scores.baseline,
            "differences": {name: _plain(each) for name, each in scores.differences.items()},
            "experts": [
                {
                    "expert": each.expert,
                    "n": each.count,
                    "sets": {n: _plain(s) for n, s in each.scores.items()},
                }
                for each in scores.experts
            ],
            "pictures": self._pictures(),
        }
        return json.dumps(body, indent=1, ensure_ascii=False) + "\n"

    def _pictures(self) -> list[dict[str, Any]]:
        sets, aligned = self.scores.sets, self.scores.aligned
        first = next(iter(sets.values()))
        return [
            {
                "caption": picture.caption,
                "sets": {
                    name: {
                        "file": each.pictures[i].path.relative_to(each.folder).as_posix(),
                        "expert": each.pictures[i].expert,
                        "seed": each.pictures[i].seed,
                        "clip": float(aligned[name][i]) if name in aligned else None,
                    }
                    for name, each in sets.items()
                },
            }
            for i, picture in enumerate(first.pictures)
        ]

    def to_markdown(self) -> str:
        about = [
            f"- {name}: {each['n']} pictures of {each['size'][0]}x{each['size'][1]} in {each['folder']}"
            + (f", resized to {each['resize']}" if each["resize"] else "")
            for name, each in self.about["pictures"].items()
        ]
        if self.about["against"]:
            counts = ", ".join(f"{count} ({name})" for name, count in self.about["reference"].items())
            about.append(f"- against {self.about['against']}: {counts}")
        about += [
            f"- {name}: weights {each['weights'][:16]}, {each['preprocessing']}"
            for name, each in self.about["encoders"].items()
        ]
        sections = [
            "\n".join([*about, f"- aptp: {__version__}"]),
            self.table(),
            INTERVALS,
            BIAS,
            *self._notes(),
        ]
        if self.scores.differences:
            sections += [f"## Less {self.scores.baseline}", self._differences()]
        if self.scores.experts:
            sections += ["## By expert", self._experts()]
        return "# Scores\n\n" + "\n\n".join(sections) + "\n"

    def table(self) -> str:
        """Return Markdown: a row per set and metric."""
        rows = [
            [name, self.names[metric], str(score.count), *self._cells(metric, score)]
            for name, scores in self.scores.scores.items()
            for metric, score in scores.items()
        ]
        return markdown.table(["set", "metric", "n", "value", "of half", "bias"], rows)

    def _cells(self, metric: str, score: Score) -> list[str]:
        half, bias = (_number(metric, each) for each in (score.half, score.bias))
        return [_value(metric, score), half, "–" if metric in (KID, CLIP_SCORE) else bias]

    def _notes(self) -> list[str]:
        few = [
            f"{name} ({scores[FID].count})"
            for name, scores in self.scores.scores.items()
            if FID in scores and scores[FID].count <= WIDTH
        ]
        other = [name for metric, name in self.names.items() if name != METRICS[metric].name]
        notes = []
        if few:
            notes.append(
                f"{', '.join(few)}: no more pictures than the {WIDTH} features of Inception. Such a Fréchet "
                "distance compares with those of as many pictures at best."
            )
        if other:
            notes.append(
                f"{', '.join(other)}: not the weights that FID, KID or CMMD is defined by, so it has none of "
                "these names and compares with itself alone."
            )
        return notes

    def _differences(self) -> str:
        rows = [
            [name, self.names[metric], str(score.count), _value(metric, score, sign="+")]
            for name, scores in self.scores.differences.items()
            for metric, score in scores.items()
        ]
        told = {SAME: "On the same captions and the same start noise."}
        note = told.get(self.scores.noise, f"On the same captions; the start noise is {self.scores.noise}.")
        return markdown.table(["set", "metric", "n", "difference"], rows) + f"\n\n{note}"

    def _experts(self) -> str:
        sets = list(self.scores.scores)
        rows = [
            [each.expert, self.names[metric], str(each.count), *(_cell(metric, each.scores[n]) for n in sets)]
            for each in self.scores.experts
            for metric in self.names
        ]
        note = (
            "Each row has the captions that one expert drew, in every set. Distances are from the whole "
            "reference, so compare them along a row alone."
        )
        return markdown.table(["expert", "metric", "n", *sets], rows) + f"\n\n{note}"

    def save(self, folder: Path, shown: int) -> None:
        """Write `report.json`, `report.md` and, of `shown` captions, `pictures.html`. Raises StorageError."""
        html = page(self.scores, self.names, shown)
        try:
            write_file(folder / "report.json", self.to_json())
            write_file(folder / "report.md", self.to_markdown())
            write_file(folder / "pictures.html", html)
        except OSError as error:
            raise StorageError(f"the report cannot be written to {folder} ({error.strerror})") from error


def _plain(scores: Mapping[str, Score]) -> dict[str, Any]:
    return {metric: score.plain() for metric, score in scores.items()}


def _number(metric: str, value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign}.{DIGITS.get(metric, 3)}f}"


def _value(metric: str, score: Score, sign: str = "") -> str:
    if score.interval is None:
        return _number(metric, score.value, sign)
    low, high = (_number(metric, each, sign) for each in score.interval)
    return f"{_number(metric, score.value, sign)} ({low} … {high})"


def _cell(metric: str, scores: Mapping[str, Score]) -> str:
    return _value(metric, scores[metric]) if metric in scores else "–"
