"""Examples drawn by the experts they are routed to, as PNGs that a page can hold."""

import base64
import io
from collections.abc import Callable, Iterable
from dataclasses import replace

from PIL import Image

from aptp.analyse.findings import Example, StudyFindings
from aptp.checkpoint.reader import Checkpoint
from aptp.evaluate.detections import Pictures
from aptp.evaluate.sampling import Parts, SamplingOptions, sample

LARGEST = 256  # pixels along a side: more would make the page slow, and shows no more at its size
Progress = Callable[[int, int], None]  # told how many pictures are there, of how many


def draw(
    checkpoint: Checkpoint, findings: StudyFindings, settings: SamplingOptions, progress: Progress
) -> dict[Example, str]:
    """Return a data URI for each example that is to be drawn. Each expert is loaded once."""
    wanted = list(dict.fromkeys(_wanted(findings)))
    parts, drawn, done = Parts.of(checkpoint, settings.device), dict[Example, str](), 0
    for code in sorted({example.code for example in wanted}):
        own = [example for example in wanted if example.code == code]
        pixels = sample(
            parts.with_unet(checkpoint.expert(str(code)).to(settings.device)),
            [example.prompt for example in own],
            replace(settings, size=checkpoint.record.size),
            numbers=[wanted.index(example) for example in own],
        )
        drawn |= zip(own, _encoded(pixels), strict=True)
        done += len(own)
        progress(done, len(wanted))
    return drawn


def _wanted(findings: StudyFindings) -> Iterable[Example]:
    for code in findings.codes:
        yield from code.drawn
    for strangers in findings.sets:
        yield from strangers.drawn


def _encoded(pixels: Pictures) -> Iterable[str]:
    for picture in pixels:
        image, data = Image.fromarray(picture), io.BytesIO()
        image.thumbnail((LARGEST, LARGEST))
        image.save(data, format="PNG", optimize=True)
        yield f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"
