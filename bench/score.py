"""The memory that scoring many pictures takes, and that a killed run is gone on with.

    python -m bench.score [--pictures 10000] [--encoded 64]

The pictures are small and made up, and so are the weights of all encoders; Inception has its true shape. Its
features of all but `--encoded` pictures of each set are random numbers, put into the store beforehand, for
a processor takes an hour for them. They take the memory that true ones would. The first run is killed when it
has kept some features; the second one goes on.
"""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from aptp.score.encoders import InceptionEncoder
from aptp.score.features import FeatureStore, key_of
from aptp.score.inception import WIDTH
from aptp.score.pictures import PictureSet
from bench.commands import killed, ran
from bench.report import save
from runtime.cli.parser import Parser, run
from runtime.cli.values import whole
from runtime.files.source import digest_source
from tests.aptp.score.made_up import captions, pictures, write_clip, write_inception, write_pictures

LIMIT = 2 << 30  # bytes


def prepared(root: Path, count: int, encoded: int) -> None:
    """Write two sets, the encoders, and a store with Inception's features of most of both."""
    write_pictures(root / "drawn", pictures(count), captions(count), experts=("0", "1", "2", "3"))
    write_pictures(root / "reference", pictures(count, seed=1))
    write_clip(root / "clip")
    weights = digest_source(write_inception(root / "pt.pth")).sha256
    store, rng = FeatureStore(root / "store"), np.random.default_rng(0)
    for name in ("drawn", "reference"):
        digests = [each.digest() for each in PictureSet.open(name, root / name).pictures][encoded:]
        for start in range(0, len(digests), 512):
            some = digests[start : start + 512]
            features = np.abs(rng.standard_normal((len(some), WIDTH))).astype(np.float32)
            store.add(key_of(weights, InceptionEncoder.preprocessing), some, features)


def kept(root: Path) -> int:
    return len(list((root / "store").glob("*/*.safetensors")))


def main() -> int:
    parser = Parser(prog="python -m bench.score", description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=whole, default=10_000, metavar="N", help="of each of two sets")
    parser.add_argument("--encoded", type=whole, default=64, metavar="N", help="that Inception sees of each")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        prepared(root, arguments.pictures, arguments.encoded)
        command: list[Any] = ["aptp.score", "--pictures", root / "drawn", "--against", root / "reference"]
        command += ["--inception", root / "pt.pth", "--clip", root / "clip", "--cmmd-clip", root / "clip"]
        command += ["--cache", root / "store", "--out", root / "out", "--device", "cpu"]
        before = kept(root)
        killed(lambda: kept(root) > before, *command)
        left = kept(root) - before
        second = ran(*command)
    row = {
        "pictures": f"{arguments.pictures} against as many",
        "seen by Inception": 2 * arguments.encoded,
        "files kept before the kill": left,
        "seconds of the second run": f"{second.seconds:.0f}",
        "peak memory": f"{second.peak / 2**30:.2f} GiB",
        "limit": f"{LIMIT / 2**30:.0f} GiB",
    }
    save(
        "score",
        "Memory of scoring",
        {"FID, KID, CMMD and CLIP score": [row]},
        asdict(second),
    )
    return 0 if second.peak <= LIMIT else 1


if __name__ == "__main__":
    run(main)
