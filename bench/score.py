"""The memory that scoring many pictures takes, and that a killed run is gone on with.

    python -m bench.score [--pictures 10000] [--encoded 64]

The pictures are small and made up, and so are the weights of all encoders; Inception has its true shape. Its
features of all but `--encoded` pictures of each set are random numbers, put into the store beforehand, for
a processor takes an hour for them. They take the memory that true ones would. The first run is killed when it
has kept some features; the second one goes on.
"""

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from aptp.score.encoders import InceptionEncoder
from aptp.score.features import FeatureStore, key_of
from aptp.score.inception import WIDTH
from aptp.score.pictures import PictureSet
from bench.report import save
from runtime.cli.parser import Parser, run
from runtime.cli.values import whole
from runtime.files.source import digest_source
from tests.aptp.score.made_up import captions, pictures, write_clip, write_inception, write_pictures

LIMIT = 2 << 30  # bytes
PATIENCE = 3600.0  # seconds that the first run may take to keep something


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


def killed(command: list[str], root: Path) -> int:
    """Kill a run as soon as it has kept features; return how many files of them it leaves."""
    before, end = kept(root), time.monotonic() + PATIENCE
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        while kept(root) < before + 1 and process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
    return kept(root) - before


def main() -> int:
    parser = Parser(prog="python -m bench.score", description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=whole, default=10_000, metavar="N", help="of each of two sets")
    parser.add_argument("--encoded", type=whole, default=64, metavar="N", help="that Inception sees of each")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        prepared(root, arguments.pictures, arguments.encoded)
        command = [sys.executable, "-m", "aptp.score", "--pictures", str(root / "drawn")]
        command += ["--against", str(root / "reference"), "--inception", str(root / "pt.pth")]
        command += ["--clip", str(root / "clip"), "--cmmd-clip", str(root / "clip")]
        command += ["--cache", str(root / "store"), "--out", str(root / "out"), "--device", "cpu"]
        left = killed(command, root)
        start = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    row = {
        "pictures": f"{arguments.pictures} against as many",
        "seen by Inception": 2 * arguments.encoded,
        "files kept before the kill": left,
        "seconds of the second run": f"{seconds:.0f}",
        "peak memory": f"{peak / 2**30:.2f} GiB",
        "limit": f"{LIMIT / 2**30:.0f} GiB",
    }
    save(
        "score",
        "Memory of scoring",
        {"FID, KID, CMMD and CLIP score": [row]},
        {"peak": peak, "seconds": seconds},
    )
    return 0 if peak <= LIMIT else 1


if __name__ == "__main__":
    run(main)
