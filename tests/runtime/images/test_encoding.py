import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runtime.cli.size import Size
from runtime.diffusion.pixels import to_pixels
from runtime.errors import EngineFailure, OutputFailure
from runtime.images.encoding import describe, grid, save_grid, save_png
from runtime.request.params import ResolvedParams
from runtime.service.generated import Generated, RoutingDecision

PARAMS = ResolvedParams(seed=7, solver="ddim", steps=4, guidance=2.5, size=Size(16, 16))


def generated(
    prompt: str = "a red circle", side: int = 16, choice: RoutingDecision | None = None
) -> Generated:
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    return Generated(pixels, prompt, choice or RoutingDecision("2", 2, 0.125, False), PARAMS, 0, 0, 12.5)


def test_a_png_carries_its_settings(tmp_path: Path) -> None:
    image = generated('"quoted" 🙂 \n')
    save_png(image, tmp_path / "image.png")
    with Image.open(tmp_path / "image.png") as file:
        assert np.array_equal(np.asarray(file), image.pixels)
        settings = json.loads(file.text["aptp"])
    assert settings == describe(image)
    assert settings["prompt"] == '"quoted" 🙂 \n'
    assert (settings["seed"], settings["code"], settings["margin"], settings["steps"]) == (7, 2, 0.125, 4)


def test_equal_images_give_equal_files(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        save_png(generated(), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def full(_: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "image.png").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    for save, data in ((save_png, generated()), (save_grid, [generated()])):
        with pytest.raises(
            OutputFailure, match=r"image.png: cannot be written: No space left on device; make"
        ):
            save(data, tmp_path / "image.png")  # type: ignore[operator]
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("image.png", b"old")]


def test_an_interrupt_leaves_no_half_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_png(generated(), tmp_path / "image.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("place", "reason"),
    [("folder", "Is a directory"), ("nowhere/x", "No such file"), ("x" * 256, "too long")],
)
def test_a_place_that_takes_no_image(tmp_path: Path, place: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputFailure, match=rf"cannot be written: .*{reason}.*; .* another --out"):
        save_png(generated(), tmp_path / place)
    assert [path.name for path in tmp_path.rglob("*")] == ["folder"]


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (3, 3), (4, 2), (6, 3), (12, 4), (16, 4)])
def test_a_grid_has_even_margins(count: int, columns: int) -> None:
    sheet = np.asarray(grid([generated()] * count))
    assert (sheet.shape[1] - 24) / columns == 224 + 24
    for edge in (sheet[:23], sheet[:, :23], sheet[:, -23:], sheet[-20:]):
        assert (edge == 255).all()


@pytest.mark.parametrize("prompt", ["", "x" * 300, "word " * 200, "🙂 أحمر", "a\nb\tc"])
def test_captions_stay_under_their_picture(prompt: str) -> None:
    sheet = np.asarray(grid([generated(prompt), generated("b")]))
    assert (sheet[:, 24 + 224 + 2 : 24 + 224 + 22] == 255).all()


def test_small_pictures_are_enlarged_and_large_ones_are_not() -> None:
    assert grid([generated(side=16)]).width == 224 + 48
    assert grid([generated(side=256)]).width == 256 + 48


def test_a_grid_of_every_kind_of_choice() -> None:
    choices = [
        RoutingDecision("dense", 31, 0.001, True),
        RoutingDecision("dense", None, None, False),
        RoutingDecision("dense", 1, 0.5, True),
        RoutingDecision("0", 0, None, False),
    ]
    sheets = [grid([generated(choice=choice)]) for choice in choices]
    assert len({sheet.tobytes() for sheet in sheets}) == 4
    assert all((np.asarray(sheet)[:, -22:] == 255).all() for sheet in sheets)


def test_pixels_are_rounded_half_to_even_and_clamped() -> None:
    values = np.array([-9, -1, 0, 1, 9, 2 * 0.5 / 255 - 1, 2 * 1.5 / 255 - 1], np.float32)
    decoded = np.broadcast_to(values, (3, 1, 7))
    assert to_pixels(decoded)[0, :, 0].tolist()[:5] == [0, 0, 128, 255, 255]
    assert to_pixels(decoded).shape == (1, 7, 3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_must_be_finite(value: float) -> None:
    with pytest.raises(EngineFailure, match="not finite"):
        to_pixels(np.full((3, 2, 2), value, np.float32))


@pytest.mark.parametrize(("span", "blank"), [(0, True), (2, True), (3, False)])
def test_blank(span: int, blank: bool) -> None:
    pixels = np.full((4, 4, 3), 100, np.uint8)
    pixels[0, 0, 0] += span
    assert Generated(pixels, "", RoutingDecision("0", 0, 1.0, False), PARAMS, 0, 0, 1.0).blank is blank
