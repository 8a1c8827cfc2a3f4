"""An expert compiled for one kind of machine: what the manifest says of it, and its identity.

The reader checks the form of a `compiled` entry (docs/BUNDLE.md, "Compiled engines"), and that a supernet
serves every expert. Whether this machine is the one it was compiled for is the business of
`runtime.engines.target`.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace

from runtime.bundle.schema import DENSE, Compiled, Expert, Model, Range, SupernetGates
from runtime.errors import ManifestError
from runtime.files.strict_json import Fields, as_integer
from runtime.files.verified import FileEntry, check_path

SUPERNET = "supernet"  # the kind that is one engine for every expert
KINDS = ("aoti", "tensorrt", SUPERNET)
REDUCED = ("bfloat16", "float16")
PRECISIONS = ("float32", *REDUCED)
_AXES = ("batch", "height", "width")
_LARGEST = 1 << 16
_GATES = 1 << 14


def identity(
    entry: Compiled, model: Model, files: Mapping[str, FileEntry], gates: SupernetGates | None = None
) -> str:
    """Return what the entry's `identity` has to be: the SHA-256 of everything that decides what the file
    computes.

    `gates` are the expert's, which count for a supernet only. Lines of UTF-8, each ended by a newline: see
    docs/BUNDLE.md.
    """
    lines = [f"kind {entry.kind}", f"precision {entry.precision}", f"model {model.identity}"]
    lines += [f"file {files[path].sha256}" for path in model.paths]
    if entry.kind == SUPERNET and gates:
        lines.append(f"gates {gates.count} {gates.bits}")
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


def parse_gates(fields: Fields) -> SupernetGates:
    """Parse a code. Raises `ManifestError`."""
    gates = SupernetGates(fields.integer("count", 1, _GATES), fields.text("bits"))
    digits = -(-gates.count // 4)
    if (
        not re.fullmatch(f"[0-9a-f]{{{digits}}}", gates.bits)
        or SupernetGates.of(map(bool, gates.kept)) != gates
    ):
        raise fields.error("bits", f"must be {gates.count} bits in {digits} hexadecimal digits, then 0")
    fields.close()
    return gates


def _target(fields: Fields) -> dict[str, str]:
    target = fields.texts("target")
    for name, value in target.items():
        # What else is printable changes with every version of Unicode.
        if not f"{name}{value}".isascii() or not f"{name}{value}".isprintable() or " " in name:
            raise fields.error("target", f"{name[:64]!a}: names are words, and values printable")
    return target


def _range(profile: Fields, axis: str) -> Range:
    found = profile.items(axis, lambda item, where: as_integer(item, where, ManifestError, 1, _LARGEST))
    if len(found) != 3 or list(found) != sorted(found):
        raise profile.error(axis, "must be three integers, least, usual and most, none below the one before")
    return Range(*found)


def check(expert: Expert, files: Mapping[str, FileEntry], where: str) -> None:
    """Refuse entries of one kind for one target, files that are not there, and identities that do not hold.

    Raises `ManifestError`.
    """
    seen = set()
    for index, entry in enumerate(expert.compiled):
        place = f"{where}.compiled[{index}]"
        if entry.file not in files:
            raise ManifestError(f"{place}: names the file {entry.file[:64]!a}, which is not there")
        key = (entry.kind, entry.precision, *sorted(entry.target.items()))
        if key in seen:
            raise ManifestError(f"{place}: is a second {entry.kind} engine for the same target")
        seen.add(key)
        if entry.kind == SUPERNET and expert.gates is None:
            raise ManifestError(f"{where}.gates: is missing; a supernet follows the gates it is given")
        if identity(entry, expert.model, files, expert.gates) != entry.identity:
            raise ManifestError(
                f"{place}.identity: is not that of this model, precision, profile and target; "
                "build the engine again"
            )


def check_supernets(experts: Mapping[str, Expert]) -> None:
    """Refuse a supernet of some experts only, and gates that cannot be of one network.

    Raises `ManifestError`.
    """
    first = next(iter(experts.values()))
    gates = next((expert.gates for expert in experts.values() if expert.gates), None)
    for name, expert in experts.items():
        where = f"manifest.experts {name!r}"
        if _supernets(expert) != _supernets(first):
            raise ManifestError(f"{where}.compiled: its supernet is not that of the other experts")
        if expert.gates and gates and expert.gates.count != gates.count:
            raise ManifestError(f"{where}.gates: are not as many as those of the other experts")
        if name == DENSE and expert.gates and not all(expert.gates.kept):
            raise ManifestError(f"{where}.gates: must all be 1, since it lacks nothing")


def _supernets(expert: Expert) -> list[Compiled]:
    return [replace(entry, identity="") for entry in expert.compiled if entry.kind == SUPERNET]
