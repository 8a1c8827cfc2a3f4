"""An opened bundle: its manifest, and its files, each checked before anyone parses it."""

import hashlib
import os
import re
from pathlib import Path

from runtime.bundle.manifest import MANIFEST, SIGNATURE, parse
from runtime.bundle.schema import Manifest, Model
from runtime.errors import IntegrityError, ManifestError, NotABundle
from runtime.files.strict_json import BYTES
from runtime.files.verified import VerifiedFiles, open_beneath

_BUILD = "`python -m export.build --codes all --out DIR` builds one"
_REMEDY = "the bundle is damaged or was changed: build or copy it again"


class Bundle:
    """A bundle folder whose manifest has been checked and parsed. Opening reads no other file.

    `digest` is the manifest's SHA-256 in hexadecimal: which version of a bundle this is.
    """

    def __init__(self, root: Path, manifest: Manifest, digest: str) -> None:
        self.root, self.manifest, self.digest = root, manifest, digest
        self.files = VerifiedFiles(root, manifest.files, _REMEDY)

    @classmethod
    def open(cls, path: str | Path) -> "Bundle":
        """Open the bundle at `path`. Raises `NotABundle`, `ManifestError`, `IntegrityError`."""
        # Resolved once: a link to a bundle may be repointed while this process goes on reading the old one.
        try:
            root = Path(path).resolve(strict=True)
            names = os.listdir(root)
        except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a loop of links
            reason = error.strerror if isinstance(error, OSError) else error
            raise NotABundle(f"{path}: cannot be opened as a folder: {reason}; {_BUILD}") from error
        if MANIFEST not in names:
            raise NotABundle(f"{path}: has no {MANIFEST}, so it is {_kind(names)}")
        data = _small_file(root, MANIFEST, BYTES)
        digest = _check_signature(root, data)
        return cls(root, parse(data), digest)

    def read(self, path: str) -> bytes:
        """Read the bytes of a listed file, checked. Raises `IntegrityError`."""
        return self.files.read(path)

    def file(self, path: str) -> Path:
        """Return the place of a listed file, checked. Raises `IntegrityError`."""
        return self.files.file(path)

    def model(self, model: Model) -> list[Path]:
        """Return the places of a model's files, graph first, each checked. Raises `IntegrityError`."""
        return [self.files.file(path) for path in model.paths]

    def verify(self) -> None:
        """Check every file of the bundle. Raises `IntegrityError` at the first wrong one."""
        self.files.verify()


def _kind(names: list[str]) -> str:
    if "model_index.json" in names:
        return (
            "a diffusers pipeline or a checkpoint, not a bundle; "
            "`python -m export.build --codes all --checkpoint DIR --out DIR` builds one"
        )
    return f"not a bundle; {_BUILD}"


def _small_file(root: Path, name: str, limit: int) -> bytes:
    with open_beneath(root, name, _REMEDY) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ManifestError(f"{root}/{name}: more than {limit} bytes")
    return data


def _check_signature(root: Path, data: bytes) -> str:
    line = _small_file(root, SIGNATURE, 256)
    match = re.fullmatch(rb"([0-9a-f]{64})  manifest\.json\n", line)
    if not match:
        raise IntegrityError(f"{root}/{SIGNATURE}: is not a line `<64 hex>  {MANIFEST}`; {_REMEDY}")
    digest = hashlib.sha256(data).hexdigest()
    if digest.encode() != match[1]:
        raise IntegrityError(f"{root}/{MANIFEST}: SHA-256 {digest} is not what {SIGNATURE} says; {_REMEDY}")
    return digest
