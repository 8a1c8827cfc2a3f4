"""Pictures: every kind decoded to what it shows, what cannot be is refused, cropped as resizing would."""

import io
from contextlib import suppress
from random import Random

import numpy as np
import pytest
from PIL import Image

from aptp.data.picture import FORMATS, BrokenPicture, crop, decode
from tests.aptp.data.datasets import NOT_A_PICTURE, picture


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_every_mode_becomes_rgb():
    for mode, shown in (("L", (90, 90, 90)), ("RGB", (90, 91, 92)), ("1", (255, 255, 255))):
        data = saved(Image.new(mode, (20, 20), shown if mode == "RGB" else shown[0]))
        assert decode(data).getpixel((3, 3)) == shown
    assert decode(saved(Image.new("P", (20, 20)))).mode == "RGB"
    assert decode(saved(Image.new("CMYK", (20, 20), (0, 0, 0, 0)), "JPEG")).getpixel((1, 1)) == (255,) * 3


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_read(kind):
    assert decode(saved(Image.new("RGB", (20, 20), "white"), kind)).getpixel((3, 3)) == (255, 255, 255)


def test_what_is_transparent_is_white():
    assert decode(saved(Image.new("RGBA", (20, 20), (255, 0, 0, 0)))).getpixel((5, 5)) == (255, 255, 255)
    assert decode(saved(Image.new("LA", (20, 20), (0, 255)))).getpixel((5, 5)) == (0, 0, 0)


def test_cameras_that_were_held_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90°
    assert decode(saved(Image.new("RGB", (40, 20)), "JPEG", exif=exif)).size == (20, 40)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is none of JPEG"),
        (NOT_A_PICTURE, "it is none of JPEG"),
        (picture()[:300], "(?i)truncated"),
        (saved(Image.new("I;16", (20, 20))), "more than 8 bits"),
        (saved(Image.new("RGB", (1, 40))), "it has 1x40 pixels"),
    ],
)
def test_what_cannot_be_used(data, why):
    with pytest.raises(BrokenPicture, match=why):
        decode(data)


def test_a_bomb_is_not_opened(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    with pytest.raises(BrokenPicture, match="exceeds limit"):
        decode(saved(Image.new("RGB", (20, 20))))


def test_any_damage_is_either_seen_or_harmless():
    rng, whole = np.random.default_rng(0), bytearray(picture(5))
    for _ in range(300):
        damaged = whole.copy()
        damaged[rng.integers(len(damaged))] = rng.integers(256)
        with suppress(BrokenPicture):
            assert decode(bytes(damaged)).mode == "RGB"


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def test_the_middle_is_what_resizing_and_cropping_gives():
    image = noise(96, 64)
    whole = np.asarray(image.resize((48, 32), Image.Resampling.BILINEAR))
    assert np.abs(crop(image, (32, 32)).astype(int) - whole[:, 8:40]).max() <= 1


def test_random_parts_reach_both_ends_and_both_hands():
    image = Image.fromarray(np.arange(64, dtype=np.uint8)[None, :, None].repeat(16, 0).repeat(3, 2))
    found = [crop(image, (16, 16), Random(i))[:, :, 0] for i in range(200)]
    assert all((part == part[0]).all() for part in found)
    firsts = [int(min(part[0])) for part in found]
    assert min(firsts) <= 2
    assert max(firsts) >= 46
    mirrored = sum(int(part[0, 0]) > int(part[0, -1]) for part in found)
    assert 70 < mirrored < 130


def test_any_shape_can_be_asked_for():
    assert crop(noise(50, 30), (20, 60)).shape == (20, 60, 3)
    assert crop(noise(17, 4000), (64, 64), Random(0)).shape == (64, 64, 3)


def test_the_same_part_for_the_same_random_numbers():
    assert np.array_equal(crop(noise(60, 40), (8, 8), Random(3)), crop(noise(60, 40), (8, 8), Random(3)))
