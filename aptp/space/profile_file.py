"""A profile as a file (docs/PROFILE.md): strict reading, deterministic writing."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aptp.space.groups import Kind
from aptp.space.profile import FIXED, Measured, Profile, Setting, Whole
from runtime.errors import StorageError, TableError
from runtime.files.publish import write_file
from runtime.files.source import read_source
from runtime.files.strict_json import Fields, as_integer, as_number, as_text, check_surrogates, decode

FORMAT, VERSION = "aptp-profile", "1.0"
MAX_BYTES = 64 << 20  # more than others: a profile keeps every sample


def to_json(profile: Profile) -> bytes:
    body = {"format": FORMAT, "version": VERSION, **asdict(profile)}
    return (json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def read(path: Path) -> Profile:
    """Read the finished profile in the file `path`. Raises TableError, naming the field, for whatever
    docs/PROFILE.md does not allow.
    """
    found = read_unfinished(path)
    if not found.complete:
        raise TableError(f"{path} is not finished; run the same python -m export.profile command again")
    return found


def read_unfinished(path: Path) -> Profile:
    """Read a profile that may still lack parts; otherwise as `read`."""
    try:
        data = read_source(path, MAX_BYTES)
    except OSError as error:
        raise TableError(
            f"{path} cannot be read ({error.strerror}); make one with python -m export.profile"
        ) from error
    return parse(data, str(path))


def parse(data: bytes, name: str = "profile") -> Profile:
    """Parse the profile that `data` holds, finished or not; `name` is what messages call it. Raises
    TableError.
    """
    body = decode(data, name, TableError, most=MAX_BYTES)
    check_surrogates(body, name, TableError)
    top = Fields(body, name, TableError)
    if not top.has("format") or top.raw("format") != FORMAT:
        raise TableError(f"{name} is no profile: its format is not {FORMAT}")
    version = top.text("version")
    if version.partition(".")[0] != VERSION.partition(".")[0]:
        raise TableError(
            f"{name}: version {version:.20} is unknown; this software reads {VERSION}: update it"
        )
    profile = Profile(
        setting=_setting(top.fields("setting")),
        environment=top.object("environment"),
        complete=top.flag("complete"),
        parts=top.objects("parts", _part, least=0),
        wholes=top.objects("wholes", _whole, least=0),
    )
    top.close()
    return profile


def _setting(fields: Fields) -> Setting:
    latent = fields.items("latent", lambda item, where: as_integer(item, where, TableError, 1))
    if len(latent) != 2:
        raise fields.error("latent", "must be the two sides of the latent")
    threads, rows, tokens = (fields.integer(name, 1) for name in ("threads", "rows", "tokens"))
    setting = Setting(
        fields.text("engine"), fields.text("precision"), threads, rows, (latent[0], latent[1]), tokens
    )
    fields.close()
    return setting


def _part(fields: Fields) -> Measured:
    gates = fields.integer("gates", 1)
    counted = fields.each(
        "samples", lambda kept, values, where: (_count(kept, gates, where), _samples(values, where))
    )
    samples = dict(counted.values())
    if len(samples) < len(counted):
        raise fields.error("samples", "counts the same gates twice")
    if not {1, gates} <= samples.keys():
        raise fields.error("samples", f"must have some with 1 gate kept, and with all {gates}")
    part = Measured(
        modules=fields.items("modules", lambda item, where: as_text(item, where, TableError), least=0),
        kind=fields.text("kind", choices=(FIXED, *map(str, Kind))),
        gates=gates,
        chunk=fields.integer("chunk"),
        steady=fields.flag("steady"),
        pace=_positive(fields.number("pace"), f"{fields.where}.pace"),
        samples=samples,
    )
    fields.close()
    return part


def _whole(fields: Fields) -> Whole:
    whole = Whole(
        share=_positive(fields.number("share"), f"{fields.where}.share"),
        widths=fields.object("widths"),
        depths=fields.object("depths"),
        steady=fields.flag("steady"),
        samples=fields.items("samples", _seconds),
    )
    fields.close()
    return whole


def _count(text: str, gates: int, where: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and int(text) <= gates):
        raise TableError(f"{where}: samples are by gates kept, from 0 to {gates}")
    return int(text)


def _samples(values: Any, where: str) -> tuple[float, ...]:
    if not isinstance(values, list) or not values:
        raise TableError(f"{where}: must be a list of seconds")
    return tuple(_seconds(value, where) for value in values)


def _seconds(value: Any, where: str) -> float:
    return _positive(as_number(value, where, TableError), where)


def _positive(value: float, where: str) -> float:
    if not value > 0:
        raise TableError(f"{where}: must be above 0, not {value:g}")
    return value


def write(path: Path, profile: Profile) -> None:
    """Put `profile` at `path`, whole or not at all. Raises StorageError."""
    try:
        write_file(path, to_json(profile))
    except OSError as error:
        raise StorageError(f"{path} cannot be written ({error.strerror}); name another with --out") from error
