"""Attacks by files: a bundle that was changed on its way, and a place where others may write."""

import fcntl
import os
import warnings
from pathlib import Path

import numpy as np

from runtime.bundle.reader import Bundle
from runtime.bundle.schema import Model
from runtime.errors import CacheFailure, IntegrityError, LockedError
from runtime.files.lock import locked
from runtime.files.publish import publishing
from runtime.models.cache import Cache
from tests.attacks.attack import GotThrough, attack, refused
from tests.bundles import write_bundle

WEIGHTS = "experts/0/unet/model.onnx.data"


def opened(work: Path) -> tuple[Bundle, Model]:
    bundle = Bundle.open(write_bundle(work / "bundle", experts=["0"]))
    return bundle, bundle.manifest.experts["0"].model


@attack("a bundle's transport", "weights of its own")
def swapped_weights(work: Path) -> str:
    bundle, _ = opened(work)
    path = bundle.root / WEIGHTS
    path.write_bytes(path.read_bytes()[::-1])
    with refused(IntegrityError) as refusal:
        bundle.file(WEIGHTS)
    return refusal.told


@attack("a bundle's transport", "files of this machine, read as weights")
def link_out_of_the_bundle(work: Path) -> str:
    bundle, _ = opened(work)
    (work / "secret").write_bytes((bundle.root / WEIGHTS).read_bytes())  # even of the right bytes
    (bundle.root / WEIGHTS).unlink()
    (bundle.root / WEIGHTS).symlink_to(work / "secret")
    with refused(IntegrityError) as refusal:
        bundle.file(WEIGHTS)
    return refusal.told


@attack("a bundle's transport", "a process that waits for ever")
def pipe_in_the_bundle(work: Path) -> str:
    bundle, _ = opened(work)
    (bundle.root / WEIGHTS).unlink()
    os.mkfifo(bundle.root / WEIGHTS)
    with refused(IntegrityError) as refusal:
        bundle.read(WEIGHTS)
    return refusal.told


@attack("writing to the cache", "weights of its own, without a word")
def forged_cache(work: Path) -> str:
    bundle, model = opened(work)
    data = Cache(work / "cache").serving_graph(bundle, model).with_name("serve.onnx.data")
    honest = data.read_bytes()
    weights = np.frombuffer(honest, "<f4").copy()
    weights[::3] *= -1
    data.write_bytes(weights.tobytes())
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        Cache(work / "cache").serving_graph(bundle, model)
    if data.read_bytes() != honest:
        raise GotThrough("foreign weights are served")
    return str(heard[0].message)


@attack("writing to the cache", "a process that waits for ever")
def pipe_in_the_cache(work: Path) -> str:
    bundle, model = opened(work)
    graph = Cache(work / "cache").serving_graph(bundle, model)
    graph.unlink()
    os.mkfifo(graph)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        Cache(work / "cache").serving_graph(bundle, model)
    return str(heard[0].message)


@attack("writing to the folder that an operator names as the cache", "files that native code parses")
def cache_that_all_can_write(work: Path) -> str:
    (work / "cache").mkdir()
    (work / "cache").chmod(0o777)
    with refused(CacheFailure) as refusal:
        Cache(work / "cache")
    return refusal.told


@attack("reading a lock's file", "a process that waits for ever")
def held_lock(work: Path) -> str:
    (work / "lock").touch(mode=0o644)
    with (work / "lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with refused(LockedError) as refusal, locked(work / "lock", "end it", seconds=1):
            pass
    return refusal.told


@attack("writing where a lock's file will be", "a process that waits for ever, or a file that is truncated")
def lock_that_is_something_else(work: Path) -> str:
    (work / "precious").write_text("years of work")
    (work / "link").symlink_to(work / "precious")
    os.mkfifo(work / "pipe")
    told = []
    for name in ("link", "pipe"):
        with refused(OSError) as refusal, locked(work / name, "wait", seconds=1):
            pass
        told.append(refusal.told)
    if (work / "precious").read_text() != "years of work":
        raise GotThrough("a link was followed")
    return "; ".join(told)


@attack("writing beside what is published", "the removal of a folder elsewhere")
def link_at_a_drafts_name(work: Path) -> str:
    (work / "precious").mkdir()
    (work / "precious" / "thesis").write_text("years of work")
    (work / ".out.tmp").symlink_to(work / "precious")
    with publishing(work / "out") as folder:
        (folder / "file").touch()
    if not (work / "precious" / "thesis").exists() or (work / "out").is_symlink():
        raise GotThrough("a link was followed")
    return "the link was removed, and not followed"
