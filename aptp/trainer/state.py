"""The resume states of a training run: safetensors files `state-<steps done>.safetensors`, the newest few.

Each is written whole or not at all. Its header says what the run was, so that another run's state is refused
by name, and has the digest of all the rest of the file, so that a state whose bytes changed on the disk is
refused too.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open

from runtime.errors import IntegrityError, StorageError, UsageError, unusable
from runtime.files.publish import replacing
from runtime.files.source import open_source

NAME = "state-{:08d}.safetensors"
FORM = re.compile(r"state-(\d{8,15})\.safetensors")
UNDATED = "state.safetensors"  # of versions before 0.7, which kept one without a digest
STEM = ".state"
DTYPES = {
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int64: "I64",
    torch.uint8: "U8",
}
FREE = ("steps", "decay")  # what may change between sessions: how long the run is to be
KEPT = 2
BLOCK = 1 << 20  # bytes read at once

# A file begins with the length of its header, in 8 bytes, and its header with these words and the digest: the
# SHA-256 of the file with zeros for these 64 digits.
WORDS = b'{"__metadata__": {"sha256": "'
BLANK = b"0" * 64
BEFORE = 8 + len(WORDS)

Groups = dict[str, dict[str, torch.Tensor]]


@dataclass(frozen=True, slots=True)
class Saved:
    """A resume state as it was read: the run went `step` steps; `path` is its file's."""

    path: Path
    step: int
    groups: Groups

    def check_fits(self, group: str, wanted: Mapping[str, torch.Tensor]) -> None:
        """Raise UsageError unless the tensors of `group` have the names and shapes of those `wanted`."""
        kept = self.groups.get(group, {})
        differing = sorted(
            name
            for name in kept.keys() | wanted.keys()
            if name not in kept or name not in wanted or kept[name].shape != wanted[name].shape
        )
        if differing:
            raise UsageError(
                f"{self.path} is of another model: {len(differing)} of its {group} differ, the first is "
                f"{differing[0]}. Go on with the version of aptp that began the run, or give another --out"
            )


def save(
    folder: Path,
    step: int,
    identity: Mapping[str, Any],
    tensors: Mapping[str, Mapping[str, torch.Tensor]],
    *,
    keep: int = KEPT,
) -> None:
    """Write groups of named tensors after `step` steps, and remove all states but the newest `keep`.

    Raises StorageError; the old states then stay.
    """
    flat = {f"{group}/{name}": t.detach() for group, named in tensors.items() for name, t in named.items()}
    try:
        # A stem for all of them: what a killed process left of one is in the way of the next.
        with replacing(folder / NAME.format(step), stem=STEM) as file:
            _write(file, flat, {"step": str(step), "identity": json.dumps(identity)})
        for path in _found(folder)[keep:]:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"the resume state cannot be written to {folder}: {error}") from error


def _write(file: BinaryIO, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write one tensor after another: the library's own writer would hold a second copy of all of them at
    once.
    """
    header: dict[str, Any] = {"__metadata__": {"sha256": BLANK.decode(), **metadata}}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.numel() * tensor.element_size()
        shape = list(tensor.shape)
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    head = len(text).to_bytes(8, "little") + text
    digest = hashlib.sha256(head)
    file.write(head)
    for tensor in tensors.values():
        data = tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
        digest.update(data)
        file.write(data)
    file.seek(BEFORE)
    file.write(digest.hexdigest().encode())


def load(folder: Path, identity: Mapping[str, Any]) -> Saved | None:
    """Return the newest state, or None where no run was started.

    Raises IntegrityError for a damaged file, which names the state before it, UsageError where the run was
    another one, and StorageError where the system does not let us read.
    """
    found = _listed(folder)
    if not found:
        return None
    path, older = found[0], found[1:]
    way_out = f"remove it to go on from {older[0].name}" if older else "remove it to start over"
    try:
        header, flat = _read(path)
        saved = Saved(path, int(header["step"]), _grouped(flat))
        told = json.loads(header["identity"])
    except (SafetensorError, ValueError, LookupError, TypeError) as error:
        raise IntegrityError(f"{path} is damaged ({error}); {way_out}") from error
    except OSError as error:
        raise StorageError(unusable(error)) from error
    check(path, told, json.loads(json.dumps(identity)))
    return saved


def _listed(folder: Path) -> list[Path]:
    """Return the states in a folder, newest first. Raises StorageError, and UsageError for an old run."""
    try:
        found = _found(folder)
        if not found and (folder / UNDATED).exists():
            raise UsageError(
                f"{folder / UNDATED} is the resume state of an aptp before 0.7: end that run with the "
                "version that began it, or give another --out to start afresh"
            )
    except OSError as error:
        raise StorageError(unusable(error)) from error
    return found


def _found(folder: Path) -> list[Path]:
    if not folder.exists():
        return []
    steps = {path: int(match[1]) for path in folder.iterdir() if (match := FORM.fullmatch(path.name))}
    return sorted(steps, key=lambda path: steps[path], reverse=True)


def _read(path: Path) -> tuple[Mapping[str, str], dict[str, torch.Tensor]]:
    """Return the metadata and the tensors of a file whose digest is that of its bytes."""
    with open_source(path) as file:
        head = file.read(BEFORE + len(BLANK))
        if head[8:BEFORE] != WORDS:
            raise ValueError("it does not begin as a resume state does")
        digest = hashlib.sha256(head[:BEFORE] + BLANK)
        while block := file.read(BLOCK):
            digest.update(block)
    if digest.hexdigest().encode() != head[BEFORE:]:
        raise ValueError("its bytes are not those that were written")
    with safe_open(path, "pt") as opened:
        return opened.metadata(), {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)


def _grouped(flat: Mapping[str, torch.Tensor]) -> Groups:
    groups: Groups = {}
    for name, tensor in flat.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = tensor
    return groups


def check(path: Path, saved: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Raise UsageError, naming what differs, where the file at `path` was `saved` by another run."""
    differing = [
        f"{key} was {saved.get(key)!r} and is now {asked.get(key)!r}"
        for key in sorted(saved.keys() | asked.keys())
        if key not in FREE and saved.get(key) != asked.get(key)
    ]
    if differing:
        raise UsageError(
            f"{path} belongs to another run: {'; '.join(differing)}. Give the same options to go on, "
            "or another --out to start afresh"
        )
