"""Write a bundle's index (docs/BUNDLE.md, "manifest.json"); its reader is `runtime.bundle`."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime.bundle.manifest import MAJOR, MANIFEST, MINOR, SIGNATURE

FORMAT, VERSION, KIND = "aptp-bundle", f"{MAJOR}.{MINOR}", "pipeline"
FRAME = ("format", "version", "kind", "files")  # what `document` adds to a body


def write_manifest(folder: Path, body: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]) -> None:
    """Write both manifest files into `folder`; `files` lists every other file of it."""
    data = encode(document(body, files))
    (folder / MANIFEST).write_bytes(data)
    (folder / SIGNATURE).write_text(f"{hashlib.sha256(data).hexdigest()}  {MANIFEST}\n", encoding="ascii")


def document(body: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the whole manifest."""
    return {"format": FORMAT, "version": VERSION, "kind": KIND, **body, "files": dict(sorted(files.items()))}


def encode(content: Mapping[str, Any]) -> bytes:
    """Return JSON whose bytes depend on the document alone."""
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a bundle to take parts from, or None if there is none or it is damaged."""
    try:
        data = (folder / MANIFEST).read_bytes()
        line = (folder / SIGNATURE).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    if line.split() != [hashlib.sha256(data).hexdigest(), MANIFEST]:
        return None
    found: dict[str, Any] = json.loads(data)
    return found if found.get("version") == VERSION else None
