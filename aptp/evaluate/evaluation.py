"""One evaluation: every subject on the same captions and the same start noise, judged and written down."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from aptp.data.sample import Sample
from aptp.data.scenes.vocabulary import SIDE
from aptp.evaluate.detections import Pictures
from aptp.evaluate.judge.reader import Judge
from aptp.evaluate.mixture import RoutedMixture
from aptp.evaluate.models_under_test import MIXED, RENDER, Subjects
from aptp.evaluate.pictures import grid, save_routes
from aptp.evaluate.report import EvaluationResult, Report
from aptp.evaluate.verdicts import examine, reference
from aptp.score.distances import Features, frechet
from runtime.errors import CheckpointError, StorageError
from runtime.files.publish import replacing, write_file

Progress = Callable[[str, int], None]  # told a subject, and how many of its pictures are there


class Evaluation:
    """An evaluation of some of a checkpoint's `subjects`, on `samples`; of its routes, on `routed`, whose
    tiers come as often as in training. Renders are always judged beside the subjects.
    """

    def __init__(
        self,
        subjects: Subjects,
        judge: Judge,
        names: Sequence[str],
        samples: Sequence[Sample],
        routed: Sequence[Sample],
    ) -> None:
        """Raise CheckpointError for a checkpoint that draws pictures of another size than scenes have."""
        height, width = subjects.checkpoint.record.size
        if (height, width) != (SIDE, SIDE):
            raise CheckpointError(
                f"{subjects.checkpoint.path} draws {height}x{width} pixels; the judge reads scenes of "
                f"{SIDE}x{SIDE}. With --data NAME:DIR it is shown what is drawn to captions of your own"
            )
        self._subjects, self._judge, self._samples, self._routed = subjects, judge, samples, routed
        self._names = [*(name for name in names if name != RENDER), RENDER]
        self._pictures: dict[str, Pictures] = {}

    def run(self, about: Mapping[str, Any], progress: Progress = lambda name, done: None) -> Report:
        """Draw and judge; `about` goes into the report as it is."""
        results = {name: self._result(name, progress) for name in self._names}
        if MIXED not in self._names:
            return Report(about, results)
        codes = self._subjects.codes([sample.caption for sample in self._samples])
        return Report(about, results, codes, RoutedMixture.of(self._subjects, self._routed))

    def save(self, report: Report, folder: Path) -> None:
        """Write `report.json`, `report.md`, a sheet of samples per subject and, of a mixture, `routes.png`.

        Raises StorageError.
        """
        try:
            write_file(folder / "report.json", report.to_json())
            write_file(folder / "report.md", report.to_markdown())
            for name, pictures in self._pictures.items():
                with replacing(folder / f"samples-{name}.png") as file:
                    grid(report.results[name].verdicts, pictures).save(file, "PNG")
            if report.mixture:
                save_routes(report.mixture, folder / "routes.png")
        except OSError as error:
            raise StorageError(f"the report cannot be written to {folder} ({error.strerror})") from error

    def _result(self, name: str, progress: Progress) -> EvaluationResult:
        pictures, seconds = self._subjects.timed(name, self._samples, progress)
        self._pictures[name] = pictures
        distance = frechet(self._judge.features(pictures), self._reference)
        return EvaluationResult(examine(self._judge, self._samples, pictures), distance, seconds)

    @cached_property
    def _reference(self) -> Features:
        return reference(self._judge)
