"""Pictures that form out of noise, for a server that has no model: a shape in the prompt's colour."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor, ImageDraw

COLOURS = ("red", "orange", "yellow", "green", "cyan", "purple", "pink", "grey")


Pixels = npt.NDArray[np.uint8]


def draw(prompt: str, seed: int, expert: str, formed: float, size: tuple[int, int]) -> Pixels:
    """A picture [height, width, 3] of which `formed`, 0 to 1, has come out of the seed's noise."""
    rng = np.random.default_rng([seed, *expert.encode()])
    noise = rng.integers(0, 256, (size[1], size[0], 3))
    mixed = (1 - formed) * noise + formed * np.asarray(_shape(prompt, rng, size))
    return mixed.astype(np.uint8)


def png(pixels: Pixels) -> bytes:
    """A picture as a file."""
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, format="PNG")
    return data.getvalue()


def _shape(prompt: str, rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """One shape, a little moved by whoever draws it."""
    width, height = size
    paper = "black" if "black" in prompt else "white"
    ink = next((colour for colour in COLOURS if colour in prompt), "blue")
    picture = Image.new("RGB", size, paper)
    draw = ImageDraw.Draw(picture)
    middle = np.array(size) / 2 + rng.uniform(-0.1, 0.1, 2) * min(width, height)
    radius = min(width, height) * 0.3
    box = [*(middle - radius), *(middle + radius)]
    if "circle" in prompt:
        draw.ellipse(box, fill=ImageColor.getrgb(ink))
    elif "square" in prompt:
        draw.rectangle(box, fill=ImageColor.getrgb(ink))
    else:
        draw.regular_polygon((*middle, radius), 3, fill=ImageColor.getrgb(ink))
    return picture
