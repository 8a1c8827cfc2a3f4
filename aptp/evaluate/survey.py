"""The evaluation of a checkpoint on captions without a judge: routes, cost, and pictures.

No judge reads such pictures, so nothing here says how good they are; scenes alone are judged (`evaluation`).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aptp.data.sample import Sample
from aptp.evaluate.detections import Pictures
from aptp.evaluate.mixture import RoutedMixture
from aptp.evaluate.models_under_test import Subjects
from aptp.evaluate.pictures import gallery
from runtime.errors import StorageError
from runtime.files.publish import replacing, write_file

UNJUDGED = (
    "The judge reads scenes alone, so nothing here says how good these pictures are: look at them, or "
    "measure them with a metric made for such data."
)


@dataclass(frozen=True, slots=True)
class Survey:
    """The results of such an evaluation.

    `about`: what was evaluated. `codes`: the codes of the captions drawn, those of `samples`. `mixture`: the
    routing of captions in general. `drawn`: by subject, its pictures and the seconds they took.
    """

    about: Mapping[str, Any]
    samples: Sequence[Sample]
    codes: Sequence[int]
    mixture: RoutedMixture
    drawn: Mapping[str, tuple[Pictures, float]] = field(repr=False)

    @classmethod
    def of(
        cls,
        subjects: Subjects,
        names: Sequence[str],
        samples: Sequence[Sample],
        routed: Sequence[Sample],
        about: Mapping[str, Any],
        progress: Callable[[str, int], None] = lambda name, done: None,
    ) -> "Survey":
        """Draw to `samples` with the subjects of these `names`, and route `routed`."""
        drawn = {name: subjects.timed(name, samples, progress) for name in names}
        codes = subjects.codes([sample.caption for sample in samples])
        return cls(about, samples, codes, RoutedMixture.of(subjects, routed), drawn)

    def to_json(self) -> str:
        pictures = [
            {"number": number, "caption": sample.caption, "place": sample.metadata.get("place"), "code": code}
            for number, (sample, code) in enumerate(zip(self.samples, self.codes, strict=True))
        ]
        body = {
            "about": dict(self.about),
            "judged": False,
            "seconds": {name: seconds for name, (_, seconds) in self.drawn.items()},
            "routing": self.mixture.summary(),
            "pictures": pictures,
        }
        return json.dumps(body, indent=1, ensure_ascii=False) + "\n"

    def to_markdown(self) -> str:
        sections = [
            "\n".join(f"- {name}: {value}" for name, value in self.about.items()),
            UNJUDGED,
            self.mixture.to_markdown(),
            "## Pictures",
            *(f"![drawn by {name}](samples-{name}.png)" for name in self.drawn),
        ]
        return "# Survey\n\n" + "\n\n".join(sections) + "\n"

    def save(self, folder: Path) -> None:
        """Write `report.json`, `report.md` and a sheet of pictures per subject. Raises StorageError."""
        captions = [sample.caption for sample in self.samples]
        try:
            write_file(folder / "report.json", self.to_json())
            write_file(folder / "report.md", self.to_markdown())
            for name, (pictures, _) in self.drawn.items():
                with replacing(folder / f"samples-{name}.png") as file:
                    gallery(captions, self.codes, pictures).save(file, "PNG")
        except OSError as error:
            raise StorageError(f"the report cannot be written to {folder} ({error.strerror})") from error
