"""The speed of reading captioned pictures: images per second of every source, and the cost of broken
pictures.

    python -m bench.data [--pictures 300] [--rounds 5]

Each source is made anew in its published layout, from JPEG files of 640 x 480 pixels with the spectrum of
photographs. CPU time is of the reading process alone, without loading processes; images per second are as the
training loop sees them, with none, one and two of those. Files come from the page cache, not from a disk.
"""

import hashlib
import io
import json
import os
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

from aptp.data.batches import Batch, batches
from aptp.data.sample import SampleSource
from aptp.data.sources import open_source
from bench.report import save
from runtime.cli.parser import Parser, run

SIDE = 512
BATCH, PER_ROUND = 16, 4
WARM = 2  # batches, in which loading processes start
EACH = 100  # of so many pictures one is broken
CAPTIONS = 5  # of a picture of COCO


def photograph(number: int) -> bytes:
    """Return a JPEG file of noise whose amplitude falls with frequency, as that of photographs does."""
    rng = np.random.default_rng(number)
    height, width = 480, 640
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    spectrum = np.fft.rfft2(rng.standard_normal((3, height, width))) / np.maximum(frequency, 1 / width)
    pixels = np.fft.irfft2(spectrum, (height, width))
    pixels = 128 + 50 * (pixels - pixels.mean()) / pixels.std()
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8).transpose(1, 2, 0)).save(file, "JPEG", quality=90)
    return file.getvalue()


def put(path: Path, data: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())


def coco(root: Path, pictures: list[bytes]) -> str:
    names = [f"COCO_train2014_{i:012d}.jpg" for i in range(len(pictures))]
    for name, data in zip(names, pictures, strict=True):
        put(root / "train2014" / name, data)
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    captions = [
        {"id": CAPTIONS * i + j, "image_id": i, "caption": f"Caption {j} of the picture with number {i}."}
        for i in range(len(pictures))
        for j in range(CAPTIONS)
    ]
    body = json.dumps({"images": images, "annotations": captions})
    put(root / "annotations" / "captions_train2014.json", body)
    return f"coco:{root}"


def table(root: Path, pictures: list[bytes]) -> str:
    addresses = [f"http://example.org/{i}.jpg" for i in range(len(pictures))]
    for i, data in enumerate(pictures):
        put(root / "training" / f"{i}_{zlib.crc32(addresses[i].encode())}", data)
    rows = [f"a caption of picture {i}\t{address}\n" for i, address in enumerate(addresses)]
    put(root / "Train_GCC-training.tsv", "".join(rows))
    return f"cc3m:{root}"


def shards(root: Path, pictures: list[bytes]) -> str:
    root.mkdir()
    with tarfile.open(root / "00000.tar", "w") as archive:
        for i, data in enumerate(pictures):
            for ending, content in (("jpg", data), ("txt", f"a caption of picture {i}".encode())):
                info = tarfile.TarInfo(f"{i:09d}.{ending}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return f"cc3m:{root}"


def pixelprose(root: Path, pictures: list[bytes]) -> str:
    rows = [
        {
            "uid": hashlib.sha256(str(i).encode()).hexdigest(),
            "url": f"http://example.org/{i}.jpg",
            "key": f"{i:09d}",
            "vlm_caption": "This image displays: "
            + "A sentence of some ten words that says what there is. " * 9,
            "aesthetic_score": 5.5,
        }
        for i in range(len(pictures))
    ]
    root.mkdir()
    parquet.write_table(pa.Table.from_pylist(rows), root / "vlm_captions_cc12m_00.parquet")
    for row, data in zip(rows, pictures, strict=True):
        put(root / "images" / f"{row['uid']}.jpg", data)
    return f"pixelprose:{root}?aesthetic_score>=5"


def folder(root: Path, pictures: list[bytes]) -> str:
    for i, data in enumerate(pictures):
        put(root / f"{i:06d}.jpg", data)
        put(root / f"{i:06d}.txt", f"a caption of picture {i}")
    return f"folder:{root}"


MAKERS: dict[str, Callable[[Path, list[bytes]], str]] = {
    "coco": coco,
    "cc3m, table": table,
    "cc3m, shards": shards,
    "pixelprose": pixelprose,
    "folder": folder,
}


def rates(source: SampleSource, workers: int, rounds: int) -> tuple[list[float], list[float]]:
    """Return the images per second, and CPU seconds of this process per image, of each round."""
    loader = batches(source, BATCH, workers=workers)
    for _ in islice(loader, WARM):
        pass
    seen: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        start, cpu = time.perf_counter(), time.process_time()
        for _ in islice(loader, PER_ROUND):
            pass
        count = BATCH * PER_ROUND
        seen[0].append(count / (time.perf_counter() - start))
        seen[1].append((time.process_time() - cpu) / count)
    return seen


def opened(data: str) -> tuple[SampleSource, float]:
    start = time.perf_counter()
    source = open_source(data, size=(SIDE, SIDE))
    return source, time.perf_counter() - start


def spread(samples: list[float]) -> str:
    return f"{median(samples):.0f} [{min(samples):.0f}-{max(samples):.0f}]"


def throughput(made: dict[str, str], rounds: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    rows, samples = [], {}
    for name, data in made.items():
        source, seconds = opened(data)
        found = {workers: rates(source, workers, rounds) for workers in (0, 1, 2)}
        samples[name] = {
            "cpu_seconds": found[0][1],
            **{f"images_per_second_{workers}": found[workers][0] for workers in found},
        }
        rows.append(
            {
                "source": name,
                "opening": f"{1e3 * seconds:.0f} ms",
                "CPU per image": f"{1e3 * median(found[0][1]):.1f} ms",
                "images/s, no process": spread(found[0][0]),
                "one": spread(found[1][0]),
                "two": spread(found[2][0]),
            }
        )
    return rows, samples


def same(one: Iterator[Batch], other: Iterator[Batch], count: int) -> bool:
    return all(
        a.captions == b.captions and a.metadata == b.metadata and bool((a.images == b.images).all())
        for a, b in islice(zip(one, other, strict=True), count)
    )


def broken(scratch: Path, pictures: list[bytes], rounds: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Write the folder again, with every hundredth picture cut in half."""
    damaged = [data[: len(data) // 2] if i % EACH == 0 else data for i, data in enumerate(pictures)]
    rows, samples = [], {}
    count = len(pictures) // BATCH
    for name, data in (("whole", pictures), ("one in a hundred broken", damaged)):
        source, _ = opened(folder(scratch / name, data))
        found = rates(source, 0, rounds)
        skipped = [
            entry
            for batch in islice(batches(source, BATCH), count)
            for sample in batch.metadata
            for entry in sample["skipped"]
        ]
        samples[name] = {"images_per_second": found[0], "cpu_seconds": found[1], "skipped": sorted(skipped)}
        equal = same(batches(source, BATCH), batches(source, BATCH, workers=2), count)
        rows.append(
            {
                "folder": name,
                "broken files": len(pictures) - sum(a is b for a, b in zip(pictures, data, strict=True)),
                "skipped in one pass": len(skipped),
                "CPU per image": f"{1e3 * median(found[1]):.1f} ms",
                "images/s": spread(found[0]),
                "the same with two processes": "yes" if equal else "NO",
            }
        )
    return rows, samples


def main() -> None:
    parser = Parser(prog="python -m bench.data", description=__doc__)
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    before = os.getloadavg()[0]
    pictures = [photograph(i) for i in range(arguments.pictures)]
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["XDG_CACHE_HOME"] = f"{scratch}/cache"
        made = {name: make(Path(scratch) / name, pictures) for name, make in MAKERS.items()}
        rows, samples = throughput(made, arguments.rounds)
        broken_rows, broken_samples = broken(Path(scratch), pictures, arguments.rounds)
    size = sum(map(len, pictures)) / len(pictures) / 1e3
    load = f"{before:.1f} programs wanted the cores before it began, {os.getloadavg()[0]:.1f} at the end"
    title = f"Reading captioned pictures at {SIDE} x {SIDE} ({len(pictures)} of {size:.0f} kB each; {load})"
    tables = {"Throughput": rows, "Broken pictures": broken_rows}
    save("data", title, tables, {"throughput": samples, "broken": broken_samples})


if __name__ == "__main__":
    run(main)
