"""Sets of pictures of the same captions, scored against one reference and against each other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from aptp.score.alignment import clip_scores
from aptp.score.encoders import ClipCaptions, Encoder
from aptp.score.features import Features, FeatureStore, caption_features, picture_features
from aptp.score.intervals import Jackknife
from aptp.score.metrics import (
    CLIP,
    CLIP_SCORE,
    METRICS,
    Distance,
    Score,
    difference,
    distance_score,
    distances,
    mean_score,
)
from aptp.score.pictures import PictureSet
from aptp.score.reference import read_reference, write_reference
from runtime.errors import UsageError

Told = Callable[[str, int, int], None]  # told what is encoded, how many are, and of how many
SAME, OTHER, UNKNOWN = "the same", "different", "not known"


@dataclass(frozen=True, slots=True)
class Encoders:
    """The encoders that are at hand by name, and that of captions beside `clip`."""

    pictures: Mapping[str, Encoder]
    captions: ClipCaptions | None = None

    def called(self, metric: str) -> str:
        """Return the name of a metric with these weights."""
        return METRICS[metric].called(self.pictures[METRICS[metric].encoder].published)


@dataclass(frozen=True, slots=True)
class ExpertScores:
    """The scores of the captions that one expert drew, by set and metric, over `count` pictures each."""

    expert: str
    count: int
    scores: Mapping[str, Mapping[str, Score]]


@dataclass(frozen=True, slots=True)
class Scores:
    """The results.

    `scores`: by set and metric; `differences`: of each other set from `baseline`; `noise`: whether sets began
    from the same; `aligned`: the CLIP score of each picture, by set.
    """

    sets: Mapping[str, PictureSet]
    reference_counts: Mapping[str, int]
    scores: Mapping[str, Mapping[str, Score]]
    baseline: str | None
    noise: str
    differences: Mapping[str, Mapping[str, Score]]
    experts: Sequence[ExpertScores]
    aligned: Mapping[str, npt.NDArray[np.float64]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Encoded:
    """A set's features by encoder, and the CLIP score of each picture."""

    features: Mapping[str, Features]
    aligned: npt.NDArray[np.float64] | None


class Scoring:
    """The work of scoring: `encoders` in batches of `batch`, and features in `store`."""

    def __init__(
        self,
        encoders: Encoders,
        store: FeatureStore,
        batch: int,
        progress: Told = lambda what, done, total: None,
    ) -> None:
        self._encoders, self._store, self._batch, self._progress = encoders, store, batch, progress

    def reference(self, against: Path, metrics: Sequence[str]) -> dict[str, Features]:
        """Return the features of a folder or a kept file, for the distances among `metrics`."""
        names = dict.fromkeys(METRICS[metric].encoder for metric in metrics if metric != CLIP_SCORE)
        encoders = {name: self._encoders.pictures[name] for name in names}
        if against.is_file():
            return read_reference(against, encoders)
        found = PictureSet.open("--against", against)
        return {name: self._features(encoder, name, found) for name, encoder in encoders.items()}

    def keep(self, path: Path, features: Mapping[str, Features]) -> None:
        """Write reference features to a file. Raises StorageError."""
        write_reference(path, features, self._encoders.pictures)

    def run(
        self,
        sets: Sequence[PictureSet],
        reference: Mapping[str, Features],
        metrics: tuple[str, ...],
        baseline: str | None = None,
    ) -> Scores:
        """Score all sets. Raises UsageError for sets that cannot be compared."""
        check(sets, captions=CLIP_SCORE in metrics)
        measured = distances(reference, metrics)
        encoded = {each.name: self._encoded(each, metrics) for each in sets}
        found = {name: _jackknifed(measured, each) for name, each in encoded.items()}
        scores = {name: _scores(measured, found[name], each) for name, each in encoded.items()}
        others = [name for name in encoded if baseline is not None and name != baseline]
        differences = {
            name: _difference((found[name], encoded[name]), (found[str(baseline)], encoded[str(baseline)]))
            for name in others
        }
        return Scores(
            sets={each.name: each for each in sets},
            reference_counts={name: len(features) for name, features in reference.items()},
            scores=scores,
            baseline=baseline,
            noise=_noise(sets),
            differences=differences,
            experts=_by_expert(sets, encoded, measured),
            aligned={name: each.aligned for name, each in encoded.items() if each.aligned is not None},
        )

    def _encoded(self, pictures: PictureSet, metrics: tuple[str, ...]) -> _Encoded:
        names = dict.fromkeys(METRICS[metric].encoder for metric in metrics)
        features = {name: self._features(self._encoders.pictures[name], name, pictures) for name in names}
        if CLIP_SCORE not in metrics or self._encoders.captions is None:
            return _Encoded(features, None)
        captions = caption_features(
            self._encoders.captions, pictures.captions, self._store, batch=self._batch
        )
        return _Encoded(features, clip_scores(features[CLIP], captions))

    def _features(self, encoder: Encoder, name: str, pictures: PictureSet) -> Features:
        def told(done: int, total: int) -> None:
            self._progress(f"{pictures.name}, {name}", done, total)

        return picture_features(encoder, pictures, self._store, batch=self._batch, progress=told)


def check(sets: Sequence[PictureSet], *, captions: bool) -> None:
    """Raise UsageError for sets that differ in count, size or captions, or lack captions that are needed."""
    first = sets[0]
    for each in sets:
        if len(each) != len(first):
            raise UsageError(
                f"{first.name} has {len(first)} pictures, and {each.name} {len(each)}; sets that are "
                "compared hold one picture of each caption"
            )
    sizes = {each.name: each.check_size() for each in sets}
    for each in sets:
        if sizes[each.name] != sizes[first.name]:
            (w, h), (x, y) = sizes[first.name], sizes[each.name]
            raise UsageError(
                f"{first.name} has pictures of {w}x{h}, and {each.name} of {x}x{y}; draw both at one size"
            )
        if captions:
            _ = each.captions
        for i, (one, other) in enumerate(zip(first.pictures, each.pictures, strict=True)):
            if None not in (one.caption, other.caption) and one.caption != other.caption:
                raise UsageError(
                    f"picture {i} is of {str(one.caption)[:60]!r} in {first.name}, and of "
                    f"{str(other.caption)[:60]!r} in {each.name}; draw the same captions in the same order"
                )


def _jackknifed(measured: Mapping[str, Distance], encoded: _Encoded) -> dict[str, Jackknife]:
    return {name: distance(encoded.features[METRICS[name].encoder]) for name, distance in measured.items()}


def _scores(
    measured: Mapping[str, Distance], found: Mapping[str, Jackknife], encoded: _Encoded
) -> dict[str, Score]:
    scores = {
        name: distance_score(measured[name], encoded.features[METRICS[name].encoder], each)
        for name, each in found.items()
    }
    if encoded.aligned is not None:
        scores[CLIP_SCORE] = mean_score(encoded.aligned)
    return scores


def _difference(
    one: tuple[Mapping[str, Jackknife], _Encoded], other: tuple[Mapping[str, Jackknife], _Encoded]
) -> dict[str, Score]:
    """Return how much `one` is above `other`, over the same captions."""
    (found, encoded), (base, against) = one, other
    scores = {}
    for name, each in found.items():
        apart = each - base[name]
        count = len(encoded.features[METRICS[name].encoder])
        scores[name] = Score(apart.value, count, apart.interval, apart.bias)
    if encoded.aligned is not None and against.aligned is not None:
        scores[CLIP_SCORE] = difference(encoded.aligned, against.aligned)
    return scores


def _by_expert(
    sets: Sequence[PictureSet], encoded: Mapping[str, _Encoded], measured: Mapping[str, Distance]
) -> list[ExpertScores]:
    """Return scores by the expert that drew a caption in the first set that several experts drew."""
    mixed = next((each for each in sets if len({picture.expert for picture in each.pictures}) > 1), None)
    if mixed is None:
        return []
    drew = np.array([str(picture.expert) for picture in mixed.pictures])
    found = []
    for expert in sorted(set(drew), key=lambda name: (len(name), name)):
        rows = np.flatnonzero(drew == expert)
        scores = {name: _over(rows, each, measured) for name, each in encoded.items()}
        found.append(ExpertScores(expert, len(rows), scores))
    return found


def _over(
    rows: npt.NDArray[np.intp], encoded: _Encoded, measured: Mapping[str, Distance]
) -> dict[str, Score]:
    scores = {}
    for name, distance in measured.items():
        features = encoded.features[METRICS[name].encoder][rows]
        if len(features) > 1:
            scores[name] = Score(distance.alone(features), len(features))
    if encoded.aligned is not None:
        scores[CLIP_SCORE] = mean_score(encoded.aligned[rows])
    return scores


def _noise(sets: Sequence[PictureSet]) -> str:
    seeds = [[picture.seed for picture in each.pictures] for each in sets]
    if any(seed is None for each in seeds for seed in each):
        return UNKNOWN
    return SAME if all(each == seeds[0] for each in seeds) else OTHER
