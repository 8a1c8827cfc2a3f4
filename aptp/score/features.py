"""Features of pictures and captions: encoded in batches, and kept by content, so that none is made twice.

A store holds files of some hundred features each, under the identity of their encoder and preprocessing. A
file's name is the SHA-256 of its bytes; one that was damaged is passed over, and its features made again.
"""

import hashlib
import json
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from aptp.score.encoders import ClipCaptions, Encoder
from aptp.score.pictures import PictureSet
from runtime.errors import CacheFailure
from runtime.files.cache_folder import check_folder, default_folder, make_folder
from runtime.files.publish import write_file
from runtime.files.source import read_source
from runtime.machine.processor import threads

BATCHES = 8  # of a file of the store: a killed run loses no more
DIGEST = 32  # bytes
MOST_BYTES = 1 << 30
ENDING = ".safetensors"

Features = npt.NDArray[np.float32]
Rows = Sequence[int]
Progress = Callable[[int, int], None]  # told how many are there, of how many


class FeatureStore:
    """A folder of features by content; None keeps none."""

    def __init__(self, root: Path | None) -> None:
        """Choose the folder. Raises CacheFailure where other users can write to it, or it cannot be made."""
        self.root = root
        if root is None:
            return
        try:
            make_folder(root)
        except OSError as error:
            raise CacheFailure(
                f"{root}: cannot be made ({error.strerror}); name another place with --cache"
            ) from error
        check_folder(root)

    @classmethod
    def default(cls) -> "FeatureStore":
        """Return the store in `$XDG_CACHE_HOME/aptp`; without a home folder, one that keeps nothing."""
        folder = default_folder()
        return cls(folder and folder / "features")

    def read(self, key: str, width: int, wanted: Sequence[bytes]) -> tuple[Features, npt.NDArray[np.bool_]]:
        """Return features [N, width] of the digests that are `wanted`, and which of them are here."""
        rows: dict[bytes, list[int]] = {}
        for row, digest in enumerate(wanted):
            rows.setdefault(digest, []).append(row)
        found, here = np.empty((len(wanted), width), np.float32), np.zeros(len(wanted), np.bool_)
        for digests, features in self._files(key, width):
            for i, digest in enumerate(map(bytes, digests)):
                for row in rows.get(digest, ()):
                    found[row], here[row] = features[i], True
        return found, here

    def add(self, key: str, digests: Sequence[bytes], features: Features) -> None:
        """Keep the features of these digests. Raises CacheFailure."""
        if self.root is None:
            return
        table = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST)
        data = save({"digests": table.copy(), "features": np.ascontiguousarray(features)})
        path = self.root / key / f"{hashlib.sha256(data).hexdigest()}{ENDING}"
        try:
            path.parent.mkdir(exist_ok=True)
            write_file(path, data)
        except OSError as error:
            raise CacheFailure(
                f"{path.parent}: features cannot be kept ({error.strerror}); make room, or name another "
                "place with --cache"
            ) from error

    def _files(self, key: str, width: int) -> Iterator[tuple[npt.NDArray[np.uint8], Features]]:
        if self.root is None or not (self.root / key).is_dir():
            return
        for path in sorted((self.root / key).glob(f"*{ENDING}")):
            try:
                data = read_source(path, MOST_BYTES)
                if hashlib.sha256(data).hexdigest() != path.stem:
                    raise ValueError("its bytes have changed")
                tensors = load(data)
                digests, features = tensors["digests"], tensors["features"]
                if features.shape != (len(digests), width) or digests.shape[1:] != (DIGEST,):
                    raise ValueError("its tensors have other shapes")
            except (OSError, ValueError, LookupError, SafetensorError) as error:
                warnings.warn(f"{path} is passed over ({error}); its features are made again", stacklevel=2)
                continue
            yield digests, features


def picture_features(
    encoder: Encoder,
    pictures: PictureSet,
    store: FeatureStore,
    *,
    batch: int,
    progress: Progress = lambda done, total: None,
) -> Features:
    """Return the features [N, D] of a set. Raises DataError for a picture that cannot be read."""
    every, resize = pictures.pictures, pictures.resize
    with ThreadPoolExecutor(threads()) as pool:

        def encoded(batches: Iterable[Rows]) -> Iterator[Features]:
            # The next batch is decoded while the device is busy with this one.
            ahead: deque[list[Future[Any]]] = deque()
            for rows in batches:
                ahead.append(
                    [pool.submit(lambda row: encoder.prepare(every[row].open(resize)), row) for row in rows]
                )
                if len(ahead) > 1:
                    yield encoder.encode([each.result() for each in ahead.popleft()])
            while ahead:
                yield encoder.encode([each.result() for each in ahead.popleft()])

        digests = list(pool.map(lambda picture: picture.digest(), every))
        key = key_of(encoder.weights, encoder.preprocessing, resize)
        return _completed(_Wanted(key, encoder.width, digests), store, encoded, batch, progress)


def caption_features(
    encoder: ClipCaptions, captions: Sequence[str], store: FeatureStore, *, batch: int
) -> Features:
    """Return the features [N, D] of captions."""
    digests = [hashlib.sha256(caption.encode(errors="surrogatepass")).digest() for caption in captions]
    wanted = _Wanted(key_of(encoder.weights, encoder.preprocessing), encoder.width, digests)

    def encoded(batches: Iterable[Rows]) -> Iterator[Features]:
        for rows in batches:
            yield encoder.encode([captions[row] for row in rows])

    return _completed(wanted, store, encoded, batch)


def key_of(weights: str, preprocessing: str, resize: int | None = None) -> str:
    """Return the name of features: the SHA-256 of all that they depend on but the picture."""
    return hashlib.sha256(json.dumps([weights, preprocessing, resize]).encode()).hexdigest()


class _Wanted(NamedTuple):
    key: str
    width: int
    digests: Sequence[bytes]


def _completed(
    wanted: _Wanted,
    store: FeatureStore,
    encoded: Callable[[Iterable[Rows]], Iterator[Features]],
    batch: int,
    progress: Progress = lambda done, total: None,
) -> Features:
    """Return features from the store, and those that it lacks by `encoded`, which takes batches of rows."""
    digests = wanted.digests
    found, here = store.read(wanted.key, wanted.width, digests)
    firsts = {digest: row for row, digest in reversed(list(enumerate(digests)))}
    missing = sorted(row for row in firsts.values() if not here[row])
    batches = [missing[i : i + batch] for i in range(0, len(missing), batch)]
    done, unkept = len(firsts) - len(missing), list[int]()
    progress(done, len(firsts))
    for number, (rows, features) in enumerate(zip(batches, encoded(batches), strict=True), 1):
        found[rows] = features
        unkept += rows
        done += len(rows)
        progress(done, len(firsts))
        if number % BATCHES == 0 or number == len(batches):
            store.add(wanted.key, [digests[row] for row in unkept], found[unkept])
            unkept = []
    return found[[firsts[digest] for digest in digests]]
