"""Decoding picture files to arrays for training; files that cannot be decoded faithfully are refused."""

import struct
import warnings
import zlib
from io import BytesIO
from random import Random

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
LEAST = 16  # pixels of a side: placeholders of the web are smaller
# What Pillow's decoders raise for bytes that are not what they say.
UNREADABLE = (
    *(OSError, EOFError, SyntaxError, ValueError, LookupError, TypeError, ArithmeticError),
    *(struct.error, zlib.error, Image.DecompressionBombError, Image.DecompressionBombWarning),
)


class BrokenPicture(Exception):
    """A picture cannot be used; the message says why. Internal to this package."""


def decode(data: bytes) -> Image.Image:
    """Decode to RGB, upright; transparent parts are white. Raises BrokenPicture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata, mostly, a line for each picture
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = ImageOps.exif_transpose(Image.open(BytesIO(data), formats=FORMATS))
            if image.mode[0] in "IF":
                raise BrokenPicture(f"it has more than 8 bits per channel (mode {image.mode})")
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            image = image.convert("RGB")
    except UnidentifiedImageError as error:
        raise BrokenPicture(f"it is none of {', '.join(FORMATS)}") from error
    except UNREADABLE as error:
        raise BrokenPicture(str(error) or type(error).__name__) from error
    if min(image.size) < LEAST:
        raise BrokenPicture(f"it has {image.width}x{image.height} pixels")
    return image


def crop(image: Image.Image, size: tuple[int, int], rng: Random | None = None) -> npt.NDArray[np.uint8]:
    """Return [H, W, 3]: the largest part of `image` with the shape of `size` (height, width), resized to it
    with a bilinear filter; a random part, mirrored or not, by `rng`, or else the middle.

    That is resizing the short side and then cropping, without making the pixels that would be cut off.
    """
    height, width = size
    scale = min(image.width / width, image.height / height)
    across, down, mirrored = (rng.random(), rng.random(), rng.random() < 0.5) if rng else (0.5, 0.5, False)
    left, top = across * (image.width - scale * width), down * (image.height - scale * height)
    box = (left, top, min(left + scale * width, image.width), min(top + scale * height, image.height))
    part = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, box=box))
    return np.ascontiguousarray(part[:, ::-1] if mirrored else part)
