"""The store of finished parts: those of an interrupted build, and those of the published bundle.

A part is taken again only if its key is the one wanted, parity was shown on the same engine, and every file
has the recorded hash. Finished parts lie in `<out>.build/parts/<key>` with a record; a bundle's records lie
in its report.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from export.build.layout import PARTS, REPORT, build_folder, report_folder, stage_folder
from export.build.manifest_file import read_manifest
from export.build.plan import Part
from runtime.errors import IntegrityError, ManifestError
from runtime.files import publish
from runtime.files.verified import FileEntry, VerifiedFiles, list_files

RECORD = "part.json"


@dataclass(frozen=True, slots=True)
class PartRecord:
    """The record of a finished part: `files` as in the manifest, `facts` for it, `measures` for the report,
    and the engine that parity was `shown_on`.
    """

    name: str
    key: str
    shown_on: str
    seconds: float = 0.0
    files: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    measures: Mapping[str, float] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry["size"] for entry in self.files.values())


@dataclass(frozen=True, slots=True)
class FinishedPart:
    """A record and the folder its files lie in."""

    record: PartRecord
    folder: Path


def sweep(out: Path) -> None:
    """Remove the unfinished parts that killed processes left."""
    for leftover in (build_folder(out) / PARTS).glob(".*.tmp"):
        publish.discard(leftover)


def clear(out: Path) -> None:
    """Remove all finished parts, which are in the bundle now."""
    publish.discard(build_folder(out) / PARTS)


def finish(folder: Path, record: PartRecord) -> None:
    """Write a part's record beside its files; publishing the folder is what makes it count."""
    (folder / RECORD).write_text(json.dumps(asdict(record), indent=1), encoding="utf-8")


def find(out: Path, part: Part) -> tuple[FinishedPart | None, str]:
    """Find the finished part if there is one, and in a few words where it is or why it has to be made."""
    folder = stage_folder(out, part.key)
    staged = _read(folder / RECORD)
    if staged is not None and _serves(staged, part) and matches(folder, staged.files):
        return FinishedPart(staged, folder), "staged by an earlier run"
    return _published(out, part)


def _published(out: Path, part: Part) -> tuple[FinishedPart | None, str]:
    manifest, record = read_manifest(out), published_records(out).get(part.name)
    if manifest is None:
        return None, "no bundle yet" if not out.exists() else "the bundle there is damaged or another version"
    if record is None:
        return None, "not in the bundle, or without a parity record"
    if record.key != part.key:
        return None, "its inputs have changed"
    if record.shown_on != part.shown_on:
        return None, f"parity was shown on {record.shown_on}, not {part.shown_on}"
    if any(manifest["files"].get(name) != entry for name, entry in record.files.items()):
        return None, "the bundle and its report disagree"
    if not matches(out, record.files):
        return None, "its files are damaged"
    return FinishedPart(record, out), "in the bundle"


def published_records(out: Path) -> dict[str, PartRecord]:
    """Return the records in the report beside a bundle, by part name."""
    try:
        report = json.loads((report_folder(out) / REPORT).read_text(encoding="utf-8"))
        return {entry["name"]: PartRecord(**entry) for entry in report["parts"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _read(path: Path) -> PartRecord | None:
    try:
        return PartRecord(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _serves(record: PartRecord, part: Part) -> bool:
    return (record.name, record.key, record.shown_on) == (part.name, part.key, part.shown_on)


def describe(folder: Path) -> dict[str, dict[str, Any]]:
    """Return every file below `folder`: its path in it → size in bytes and SHA-256."""
    return {name: asdict(entry) for name, entry in list_files(folder).items()}


def matches(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether every listed file lies below `folder` and is the listed one."""
    entries = {name: FileEntry(entry["size"], entry["sha256"]) for name, entry in files.items()}
    try:
        VerifiedFiles(folder, entries, "it is made again").verify()
    except (IntegrityError, ManifestError):
        return False
    return True


def gather(folder: Path, finished: Iterable[FinishedPart]) -> dict[str, Any]:
    """Put every part's files into `folder`; return the manifest's list of them."""
    files: dict[str, Any] = {}
    for one in finished:
        for name, entry in one.record.files.items():
            publish.place(one.folder / name, folder / name)
            files[name] = entry
    return files
