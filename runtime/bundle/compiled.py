"""An expert compiled for one kind of machine: what the manifest says of it, and its identity.

Owns the form of a `compiled` entry (docs/BUNDLE.md, "Compiled engines"). Whether this machine is the one it
was compiled for is the business of `runtime.engines.target`.
"""

import hashlib
from collections.abc import Mapping

from ..errors import ManifestError
from .document import Fields, as_integer
from .files import FileEntry, check_path
from .schema import Compiled, Model, Range

KINDS = ("aoti", "tensorrt")
PRECISIONS = ("float32", "bfloat16", "float16")
_AXES = ("batch", "height", "width")
_LARGEST = 1 << 16


def identity(entry: Compiled, model: Model, files: Mapping[str, FileEntry]) -> str:
    """What the entry's `identity` has to be: the SHA-256 of everything that decides what the file computes.

    Lines of UTF-8, each ended by a newline: see docs/BUNDLE.md.
    """
    lines = [f"kind {entry.kind}", f"precision {entry.precision}", f"model {model.identity}"]
    lines += [f"file {files[path].sha256}" for path in model.paths]
    lines += [f"profile {axis} {' '.join(map(str, entry.profile[axis]))}" for axis in _AXES]
    lines += [f"target {name} {entry.target[name]}" for name in sorted(entry.target)]
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def parse(fields: Fields) -> Compiled:
    """One entry. Raises `ManifestError`."""
    profile = fields.fields("profile")
    entry = Compiled(
        kind=fields.text("kind", choices=KINDS),
        file=check_path(fields.text("file"), f"{fields.where}.file"),
        precision=fields.text("precision", choices=PRECISIONS),
        profile={axis: _range(profile, axis) for axis in _AXES},
        target=_target(fields),
        identity=fields.digest("identity"),
    )
    profile.close()
    fields.close()
    return entry


def _target(fields: Fields) -> dict[str, str]:
    target = fields.texts("target")
    for name, value in target.items():
        if not f"{name}{value}".isprintable() or " " in name:
            raise fields.error("target", f"{name[:64]!a}: names are words, and values printable")
    return target


def _range(profile: Fields, axis: str) -> Range:
    found = profile.items(axis, lambda item, where: as_integer(item, where, 1, _LARGEST))
    if len(found) != 3 or list(found) != sorted(found):
        raise profile.error(axis, "must be three integers, least, usual and most, none below the one before")
    return Range(*found)


def check(entries: tuple[Compiled, ...], model: Model, files: Mapping[str, FileEntry], where: str) -> None:
    """Refuse entries of one kind for one target, files that are not there, and identities that do not hold.

    Raises `ManifestError`.
    """
    seen = set()
    for index, entry in enumerate(entries):
        place = f"{where}.compiled[{index}]"
        if entry.file not in files:
            raise ManifestError(f"{place}: names the file {entry.file[:64]!a}, which is not there")
        key = (entry.kind, entry.precision, *sorted(entry.target.items()))
        if key in seen:
            raise ManifestError(f"{place}: is a second {entry.kind} engine for the same target")
        seen.add(key)
        if identity(entry, model, files) != entry.identity:
            raise ManifestError(
                f"{place}.identity: is not that of this model, precision, profile and target; "
                "build the engine again"
            )
