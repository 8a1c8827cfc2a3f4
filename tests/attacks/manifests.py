"""Attacks by a manifest: whoever makes one also signs it, so its hash is right."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.bundle.reader import Bundle
from runtime.errors import IntegrityError, ManifestError
from tests.attacks.attack import GotThrough, attack, refused
from tests.bundles import edit, sign_bytes, write_bundle

SECONDS = 10  # far more than any refusal takes


def tried(work: Path, change: Callable[[bytes], bytes]) -> str:
    root = write_bundle(work / "bundle", experts=["0"])
    sign_bytes(root, change((root / "manifest.json").read_bytes()))
    start = time.monotonic()
    with refused(ManifestError) as refusal:
        Bundle.open(root)
    if time.monotonic() - start > SECONDS:
        raise GotThrough(f"it was refused after more than {SECONDS} s")
    return refusal.told


def tried_path(work: Path, path: str) -> str:
    def change(manifest: dict[str, Any]) -> None:
        graph = manifest["experts"]["0"]["model"]["graph"]
        manifest["experts"]["0"]["model"]["graph"] = path
        manifest["files"][path] = manifest["files"][graph]

    root = write_bundle(work / "bundle", experts=["0"])
    edit(root, change)
    with refused(ManifestError) as refusal:
        Bundle.open(root)
    return refusal.told


@attack("making a bundle", "files of this machine")
def path_out_of_the_bundle(work: Path) -> str:
    return tried_path(work, "../../../../etc/passwd")


@attack("making a bundle", "files of this machine")
def absolute_path(work: Path) -> str:
    return tried_path(work, "/dev/zero")


@attack("making a bundle", "a parser's stack")
def nesting_without_end(work: Path) -> str:
    return tried(work, lambda data: b"[" * 1_000_000)


@attack("making a bundle", "minutes of a processor")
def integer_without_end(work: Path) -> str:
    return tried(work, lambda data: b'{"format":' + b"9" * 3_000_000 + b"}")


@attack("making a bundle", "memory")
def document_without_end(work: Path) -> str:
    return tried(work, lambda data: b'{"format":"' + b"x" * 50_000_000 + b'"}')


@attack("making a bundle", "two readers that disagree")
def key_that_stands_twice(work: Path) -> str:
    return tried(work, lambda data: b'{"version": "3.0",' + data[1:])


@attack("making a bundle", "a number that compares with nothing")
def number_that_is_none(work: Path) -> str:
    document = lambda data: {**json.loads(data), "defaults": {"steps": float("nan")}}  # noqa: E731
    return tried(work, lambda data: json.dumps(document(data)).encode())


@attack("a bundle's transport", "a manifest of its own")
def changed_manifest(work: Path) -> str:
    root = write_bundle(work / "bundle", experts=["0"])
    path = root / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"dense"', b'"other"').replace(b"1", b"2", 1))
    with refused(IntegrityError, ManifestError) as refusal:
        Bundle.open(root)
    return refusal.told
