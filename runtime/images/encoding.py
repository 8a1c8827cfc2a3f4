"""Images as files: PNGs that carry their settings, other formats, and a labelled grid.

A file is whole, or not there.
"""

import io
import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from runtime.errors import OutputFailure
from runtime.files.publish import write_file
from runtime.formats import PNG_KEY
from runtime.service.generated import Generated

FORMATS = ("png", "jpeg", "webp")
LEVEL = 4  # of zlib's 9: pictures are as small as with its default, 6, in half the time
QUALITY = 95  # of the formats that lose something

_SIDE = 224  # pixels that every picture in a grid has at least: the width of a line of facts
_MARGIN = 24
_GAP = 8
_PROMPT_SIZE, _FACT_SIZE = 15, 12
_PAPER, _INK, _GREY, _LINE = "#ffffff", "#1a1a1a", "#707070", "#d8d8d8"


def describe(generated: Generated) -> dict[str, Any]:
    """Describe what made an image, as plain values."""
    return {
        "prompt": generated.prompt,
        "seed": generated.seed,
        **asdict(generated.choice),
        **generated.params.recorded(),
        "dropped_tokens": generated.dropped_tokens,
        "negative_dropped_tokens": generated.negative_dropped_tokens,
        "blank": generated.blank,
    }


def save_png(generated: Generated, path: Path) -> None:
    """Write the image, its settings in the text chunk `aptp`. An existing file is replaced.

    Raises `OutputFailure`.
    """
    _save(encode(generated), path)


def save_grid(images: Sequence[Generated], path: Path) -> None:
    """Write all images on one sheet. An existing file is replaced. Raises `OutputFailure`."""
    _save(encode_pixels(grid(images)), path)


def encode(generated: Generated, form: str = "png") -> bytes:
    """Encode the image in one of `FORMATS`; a PNG has its settings in the text chunk `aptp`."""
    text = PngInfo()
    text.add_text(PNG_KEY, json.dumps(describe(generated), sort_keys=True))
    return encode_pixels(Image.fromarray(generated.pixels), form, text if form == "png" else None)


def encode_pixels(image: Image.Image, form: str = "png", text: PngInfo | None = None) -> bytes:
    """Encode an image in one of `FORMATS`, and no more than that."""
    data = io.BytesIO()
    options: dict[str, Any] = {"quality": QUALITY}
    if form == "png":
        options = {"pnginfo": text, "compress_level": LEVEL}
    image.save(data, format=form, **options)
    return data.getvalue()


def _save(data: bytes, path: Path) -> None:
    try:
        write_file(path, data)
    except OSError as error:
        raise OutputFailure(
            f"{path}: cannot be written: {error.strerror}; make room, or choose another --out"
        ) from error


def grid(images: Sequence[Generated]) -> Image.Image:
    """Lay all images on one sheet, each under its prompt, its code, the router's margin and its
    milliseconds.
    """
    pictures = [_enlarged(generated) for generated in images]
    width, height = max(item.width for item in pictures), max(item.height for item in pictures)
    fonts = ImageFont.load_default(_PROMPT_SIZE), ImageFont.load_default(_FACT_SIZE)
    captions = [_wrapped(generated.prompt, width, fonts[0]) for generated in images]
    lines = max(len(caption) for caption in captions)
    prompt_line, fact_line = _PROMPT_SIZE + 5, _FACT_SIZE + 5
    cell = height + _GAP + lines * prompt_line + fact_line
    columns = _columns(len(images))
    rows = -(-len(images) // columns)
    size = _MARGIN + columns * (width + _MARGIN), _MARGIN + rows * (cell + _MARGIN)
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, (generated, picture, caption) in enumerate(zip(images, pictures, captions, strict=True)):
        row, column = divmod(index, columns)
        left, top = _MARGIN + column * (width + _MARGIN), _MARGIN + row * (cell + _MARGIN)
        sheet.paste(picture, (left, top))
        frame = left - 1, top - 1, left + picture.width, top + picture.height
        draw.rectangle(frame, outline=_LINE)
        y = top + height + _GAP
        for line in caption:
            draw.text((left, y), line, font=fonts[0], fill=_INK)
            y += prompt_line
        draw.text((left, y), _facts(generated), font=fonts[1], fill=_GREY)
    return sheet


def _enlarged(generated: Generated) -> Image.Image:
    picture = Image.fromarray(generated.pixels)
    factor = -(-_SIDE // min(picture.size))
    size = picture.width * factor, picture.height * factor
    return picture if factor == 1 else picture.resize(size, Image.Resampling.LANCZOS)


def _columns(count: int) -> int:
    """As many columns as make the sheet a little wider than tall, and the last row as full as can be."""
    wanted = max(1, round((count * 4 / 3) ** 0.5))
    return min(range(max(1, wanted - 1), wanted + 2), key=lambda columns: (-count % columns, -columns))


def _wrapped(prompt: str, width: int, font: Any) -> list[str]:
    # The font is proportional: characters per line are found from the prompt's own average.
    text = " ".join(prompt.split()) or "(empty prompt)"
    characters = max(8, int(len(text) * width / max(1.0, font.getlength(text))) - 1)
    return textwrap.wrap(text, characters, max_lines=3, placeholder=" …")


def _facts(generated: Generated) -> str:
    choice = generated.choice
    facts = [choice.label if choice.code is None else f"code {choice.label}"]
    if choice.margin is not None:
        facts.append(f"margin {choice.margin:.3f}")
    return " · ".join([*facts, f"{generated.milliseconds:.0f} ms"])
