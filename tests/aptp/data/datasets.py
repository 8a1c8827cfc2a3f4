"""Small data sets in the exact layout they are published in, and ways to break them.

Pictures are of one colour each, so that a test can tell which one it sees.
"""

import io
import json
import tarfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image
from pyarrow import parquet

NOT_A_PICTURE = b"<html>404</html>"
TEXTS = ("uid", "url", "key", "status", "original_caption", "vlm_model", "vlm_caption")
SCORES = ("toxicity", "severe_toxicity", "obscene", "identity_attack", "insult", "threat", "sexual_explicit")
MARKS = ("watermark_class_id", "watermark_class_score", "aesthetic_score")
SIDES = ("width", "height", "original_width", "original_height")
PIXELPROSE = pa.schema(
    [
        *((name, pa.string()) for name in TEXTS),
        *((name, pa.float64()) for name in (*SCORES, *MARKS)),
        ("error_message", pa.string()),
        *((name, pa.int64()) for name in SIDES),
        *((name, pa.string()) for name in ("exif", "sha256", "image_id", "author", "subreddit")),
        ("score", pa.int64()),
    ]
)


def colour(number: int) -> tuple[int, int, int]:
    return 10 + 8 * (number % 16), 10 + 8 * (number // 16 % 16), 128


def number_of(pixel: Sequence[int]) -> int:
    """Return which picture this pixel is of."""
    return round((int(pixel[0]) - 10) / 8) + 16 * round((int(pixel[1]) - 10) / 8)


def picture(number: int = 0, size: tuple[int, int] = (48, 40)) -> bytes:
    """A JPEG file of (width, height) pixels in the colour of `number`."""
    file = io.BytesIO()
    Image.new("RGB", size, colour(number)).save(file, "JPEG", quality=95)
    return file.getvalue()


def put(path: Path, data: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def coco(root: Path, count: int = 6, *, part: str = "train2014", captions: int = 2) -> dict[str, Any]:
    """A split of COCO with `captions` of each picture; returns its annotations."""
    pattern = f"COCO_{part}_{{:012d}}.jpg" if part.endswith("2014") else "{:012d}.jpg"
    names = [pattern.format(100 + i) for i in range(count)]
    body = {
        "info": {"description": f"COCO {part} Dataset", "version": "1.0", "year": int(part[-4:])},
        "licenses": [{"url": "http://example.org", "id": 1, "name": "a licence"}],
        "images": [
            {
                "license": 1,
                "file_name": name,
                "coco_url": "",
                "height": 40,
                "width": 48,
                "date_captured": "2013-11-14 11:18:45",
                "flickr_url": "",
                "id": 100 + i,
            }
            for i, name in enumerate(names)
        ],
        "annotations": [
            {"image_id": 100 + i, "id": 10 * i + j, "caption": f"Caption {j} of picture {i}.\n"}
            for j in range(captions)
            for i in range(count)
        ],
    }
    for i, name in enumerate(names):
        put(root / part / name, picture(i))
    write_coco(root, body, part)
    return body


def write_coco(root: Path, body: Any, part: str = "train2014") -> None:
    put(root / "annotations" / f"captions_{part}.json", json.dumps(body))


def gcc(root: Path, count: int = 6, *, test: bool = False, numbered: bool = True) -> list[Path]:
    """A table of Conceptual Captions and its pictures; returns their paths."""
    table, folder = (
        ("Validation_GCC-1.1.0-Validation.tsv", "validation")
        if test
        else ("Train_GCC-training.tsv", "training")
    )
    address = "http://example.org/{}/{}.jpg"
    put(
        root / table,
        "".join(f"picture {i} by a person\t{address.format(folder, i)}\n" for i in range(count)),
    )
    paths = []
    for i in range(count):
        mark = zlib.crc32(address.format(folder, i).encode())
        paths.append(root / folder / (f"{i}_{mark}" if numbered else str(mark)))
        put(paths[-1], picture(i))
    return paths


def shard(path: Path, samples: Iterable[Mapping[str, bytes | str]]) -> None:
    """A tar file of samples, each a mapping from ending to content, under keys as img2dataset's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for i, sample in enumerate(samples):
            for ending, content in sample.items():
                data = content.encode() if isinstance(content, str) else content
                info = tarfile.TarInfo(f"{path.stem}{i:04d}.{ending}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))


def prose(number: int, **changes: Any) -> dict[str, Any]:
    """A row of PixelProse."""
    empty = {name: 0 if pa.types.is_integer(PIXELPROSE.field(name).type) else "" for name in PIXELPROSE.names}
    row = empty | {
        "uid": f"{number:064x}",
        "url": f"http://example.org/prose/{number}.jpg",
        "key": f"{number:09d}",
        "status": "success",
        "original_caption": f"alt text {number}",
        "vlm_model": "gemini-pro-vision",
        "vlm_caption": f" This image displays: A thing called {number}. It stands alone.",
        **dict.fromkeys(SCORES, 0.001 * number),
        **dict(zip(MARKS, (1.0, 0.9, 5.5), strict=True)),
        **dict(zip(SIDES, (48, 40, 480, 400), strict=True)),
        "error_message": None,
    }
    assert set(changes) <= set(row)
    return row | changes


def write_prose(path: Path, rows: Sequence[Mapping[str, Any]], schema: pa.Schema = PIXELPROSE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(list(rows), schema=schema), path)


def pixelprose(root: Path, count: int = 6) -> list[dict[str, Any]]:
    """A table of PixelProse and its pictures under their uids; returns the rows."""
    rows = [prose(i) for i in range(count)]
    write_prose(root / "data" / "vlm_captions_cc12m_00.parquet", rows)
    for i, row in enumerate(rows):
        put(root / "images" / f"{row['uid']}.jpg", picture(i))
    return rows


def folder(root: Path, count: int = 6) -> None:
    """Pictures with a text file beside each."""
    for i in range(count):
        put(root / f"some/{i:03d}.jpg", picture(i))
        put(root / f"some/{i:03d}.txt", f"picture number {i}\n")
