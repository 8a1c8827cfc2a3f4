"""Pictures as encoders read them. Each function repeats one published preprocessing, to the bit where it can.

Names go into the identity of features, so a change of what a function does is a new name.
"""

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image

Pixels = npt.NDArray[np.uint8]  # [H, W, 3]


def bilinear(image: Image.Image, side: int) -> npt.NDArray[np.float32]:
    """Return [3, S, S] with values of 0 to 255, as clean-fid's `legacy_pytorch` makes them.

    PyTorch's bilinear filter, without corners aligned, antialiasing or rounding afterwards.
    """
    pixels = torch.from_numpy(np.asarray(image).transpose(2, 0, 1).astype(np.float32))[None]
    resized = F.interpolate(pixels, (side, side), mode="bilinear", align_corners=False)
    return resized[0].numpy()


def short_side(image: Image.Image, side: int) -> Pixels:
    """Return [3, S, S], as OpenAI's CLIP does: the short side resized by Pillow's bicubic filter, the middle
    cropped.
    """
    width, height = image.size
    scaled = (side, side * height // width) if width <= height else (side * width // height, side)
    resized = image.resize(scaled, Image.Resampling.BICUBIC)
    left, top = (round((length - side) / 2) for length in scaled)
    return _channels_first(resized.crop((left, top, left + side, top + side)))


def centre_square(image: Image.Image, side: int) -> Pixels:
    """Return [3, S, S], as CMMD does: the square in the middle, resized by Pillow's bicubic filter."""
    length = min(image.size)
    left, top = ((whole - length) // 2 for whole in image.size)
    square = image.crop((left, top, left + length, top + length))
    return _channels_first(square.resize((side, side), Image.Resampling.BICUBIC))


def published_resize(image: Image.Image, side: int) -> Image.Image:
    """Resize to a square of `side` pixels as the paper does: OpenCV's `INTER_LINEAR`, without antialiasing.

    OpenCV computes in integers of 11 bits, so a value may differ by one from its.
    """
    resized = torch.from_numpy(bilinear(image, side) + 0.5).byte()
    return Image.fromarray(resized.permute(1, 2, 0).numpy())


def _channels_first(image: Image.Image) -> Pixels:
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))
