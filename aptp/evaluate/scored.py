"""The pictures of a survey as folders, scored against the data's own pictures."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from aptp.evaluate.models_under_test import MIXED, RENDER
from aptp.evaluate.survey import Survey
from aptp.score.__main__ import main as score
from runtime.errors import StorageError, UsageError
from runtime.files.publish import write_file
from runtime.formats import PNG_KEY

ENCODERS = ("inception", "clip", "cmmd_clip")


def check_subjects(names: Sequence[str]) -> None:
    """Raise UsageError where nothing is drawn that could be scored."""
    if not set(names) - {RENDER}:
        raise UsageError("--codes: scores are of pictures that a model drew; name dense, mixed or a code")


def save_pictures(survey: Survey, folder: Path) -> None:
    """Write each subject's pictures as PNGs that tell caption, expert and number. Raises StorageError."""
    for name, (pictures, _) in survey.drawn.items():
        try:
            (folder / name).mkdir(parents=True, exist_ok=True)
            for number, (pixels, sample) in enumerate(zip(pictures, survey.samples, strict=True)):
                expert = str(survey.codes[number]) if name == MIXED else name
                text, data = PngInfo(), io.BytesIO()
                # A picture's number decides its start noise, in all subjects alike.
                text.add_text(
                    PNG_KEY, json.dumps({"prompt": sample.caption, "expert": expert, "seed": number})
                )
                Image.fromarray(pixels).save(data, "PNG", pnginfo=text)
                write_file(folder / name / f"{number:06d}.png", data.getvalue())
        except OSError as error:
            raise StorageError(f"{folder / name} cannot be written ({error.strerror})") from error


def score_pictures(survey: Survey, out: Path, encoders: dict[str, Path], device: str) -> None:
    """Save the pictures below `out`, and write their scores to `out/scores`. `encoders`: paths by option."""
    folder = out / "pictures"
    save_pictures(survey, folder)
    words = [
        word for name in survey.drawn if name != RENDER for word in ("--pictures", f"{name}={folder / name}")
    ]
    words += [word for name, path in encoders.items() for word in (f"--{name.replace('_', '-')}", str(path))]
    score([*words, "--against", str(folder / RENDER), "--out", str(out / "scores"), "--device", device])
