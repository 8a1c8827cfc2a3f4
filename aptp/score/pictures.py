"""A folder of pictures, with what their files tell of how they were made.

`runtime.generate`, the server and the runtime in C++ write that into each PNG, as the text chunk `aptp`.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from aptp.data.picture import UNREADABLE, BrokenPicture, decode
from aptp.data.storage import files, is_picture
from aptp.score.preprocessing import published_resize
from runtime.errors import DataError, UsageError
from runtime.files.source import open_source, read_source
from runtime.formats import GRID, PNG_KEY

MOST_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture's file; where they are known, its caption, and the expert and the seed that made it."""

    path: Path
    caption: str | None = None
    expert: str | None = None
    seed: int | None = None

    def read(self) -> bytes:
        """Return the bytes of the file. Raises DataError."""
        try:
            return read_source(self.path, MOST_BYTES)
        except OSError as error:
            raise DataError(
                f"{self.path} cannot be read: {error.strerror}; restore it, or remove it"
            ) from error

    def open(self, resize: int | None = None) -> Image.Image:
        """Return the picture in RGB, upright, resized as the paper does where that is asked.

        Raises DataError.
        """
        try:
            image = decode(self.read())
        except BrokenPicture as error:
            raise DataError(
                f"{self.path} is no picture that can be read: {error}; make it again, or remove it"
            ) from error
        return image if resize is None else published_resize(image, resize)

    def digest(self) -> bytes:
        """Return the SHA-256 of the file's bytes."""
        return hashlib.sha256(self.read()).digest()


@dataclass(frozen=True)
class PictureSet:
    """The pictures of a folder in the order of their names, numbers counted as numbers."""

    name: str
    folder: Path
    pictures: tuple[Picture, ...]
    resize: int | None = None

    @classmethod
    def open(cls, name: str, folder: Path, *, resize: int | None = None) -> "PictureSet":
        """List a folder, and those below it. Raises DataError where it holds no picture."""
        if not folder.is_dir():
            raise DataError(f"{name}: there is no folder {folder}")
        paths = [folder / found for found in files(folder) if is_picture(found) and found.name != GRID]
        if not paths:
            raise DataError(f"{name}: {folder} holds no pictures")
        told = [_told(path) for path in sorted(paths, key=lambda path: _in_order(str(path)))]
        return cls(name, folder, tuple(told), resize)

    def __len__(self) -> int:
        return len(self.pictures)

    def captioned(self, captions: "Mapping[str, str] | list[str]", source: str) -> "PictureSet":
        """Return the same pictures with `captions`, by file name or, of a list, in order.

        Raises UsageError where they are others than the pictures.
        """
        if isinstance(captions, list):
            if len(captions) != len(self):
                raise UsageError(
                    f"{source} has {len(captions)} captions, and {self.folder} {len(self)} pictures; give "
                    "one a picture, in the order of their names"
                )
            found = captions
        else:
            names = [path.relative_to(self.folder).as_posix() for path in (p.path for p in self.pictures)]
            missing = [name for name in names if name not in captions]
            if missing:
                raise UsageError(
                    f"{source} has no caption of {missing[0]}, nor of {len(missing) - 1} more of the "
                    f"{len(self)} pictures in {self.folder}"
                )
            found = [captions[name] for name in names]
        pairs = zip(self.pictures, found, strict=True)
        return replace(self, pictures=tuple(replace(picture, caption=text) for picture, text in pairs))

    @cached_property
    def captions(self) -> list[str]:
        """The caption of each picture. Raises UsageError where one has none."""
        without = [picture for picture in self.pictures if not picture.caption]
        if without:
            raise UsageError(
                f"{self.name}: {len(without)} of {len(self)} pictures come without a caption, such as "
                f"{without[0].path}; give --captions FILE"
            )
        return [str(picture.caption) for picture in self.pictures]

    def sizes(self) -> dict[tuple[int, int], Picture]:
        """Return the first picture of each (width, height). Raises DataError for what is no picture."""
        found: dict[tuple[int, int], Picture] = {}
        for picture in self.pictures:
            found.setdefault(_header(picture.path)[0], picture)
        return found

    def check_size(self) -> tuple[int, int]:
        """Return the (width, height) of all pictures. Raises UsageError where they differ."""
        sizes = self.sizes()
        if len(sizes) > 1:
            examples = ", ".join(
                f"{width}x{height} ({each.path.name})" for (width, height), each in list(sizes.items())[:3]
            )
            raise UsageError(
                f"{self.name}: the pictures in {self.folder} differ in size: {examples}; pictures that are "
                "compared are drawn at one size. Reference pictures (--against) may differ"
            )
        return next(iter(sizes))


def _told(path: Path) -> Picture:
    """Return the picture with what its file tells."""
    chunk = _header(path)[1].get(PNG_KEY)
    try:
        body = json.loads(chunk) if isinstance(chunk, str) else {}
    except ValueError:  # somebody else's chunk of that name
        body = {}
    known: dict[str, Any] = body if isinstance(body, dict) else {}
    prompt, expert, seed = (known.get(name) for name in ("prompt", "expert", "seed"))
    return Picture(
        path,
        prompt if isinstance(prompt, str) else None,
        str(expert) if isinstance(expert, str | int) else None,
        seed if isinstance(seed, int) else None,
    )


def _header(path: Path) -> tuple[tuple[int, int], dict[Any, Any]]:
    """Return the size of a picture and its text, without decoding it. Raises DataError."""
    try:
        with open_source(path) as file, Image.open(file) as image:
            return image.size, dict(image.info)
    except UNREADABLE as error:
        raise DataError(f"{path} is no picture that can be read; make it again, or remove it") from error


def _in_order(text: str) -> list[tuple[int, str]]:
    parts = re.split(r"([0-9]+)", text)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
