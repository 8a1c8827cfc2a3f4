"""The form of a cache of encodings: a folder of safetensors shards and an index that says what it is of.

    cache.json                       identity, lengths, and in the end the size and SHA-256 of every file
    latents-00000-<sha256>.…         moments of so many positions of the source, in order, and their records
    text-00000-<sha256>.…            token embeddings of so many captions, each kept once
    index-00000-<sha256>.…           the records of all positions, which caption each has, and how many of
                                     latents and text a shard has

A shard's name holds the digest of its bytes, and a shard is published whole or not at all. So whatever is
there can be kept when its making goes on.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from runtime.errors import DataError, UsageError
from runtime.files.publish import write_file
from runtime.files.source import read_source
from runtime.files.strict_json import decode
from runtime.files.verified import FileEntry

NAME = "cache.json"
FORM = 1  # of the shards, and of how samples are prepared; a change of either makes a new form
LATENTS, TEXT, INDEX = "latents", "text", "index"
MOST_BYTES = 64 << 20  # of cache.json
REMEDY = "run the same python -m aptp.encode again, which makes anew what is missing or damaged"
_SHARD = re.compile(r"(latents|text|index)-(\d{5,9})-([0-9a-f]{64})\.safetensors")
_FIELDS = {"form", "identity", "latents_per_shard", "text_per_shard", "files"}
_ENCODERS = {"vae", "tokenizer", "text_encoder"}
_IDENTITY = {*_ENCODERS, "data", "size", "precision", "seed", "samples", "text", "batch"}


@dataclass(frozen=True, slots=True)
class Plan:
    """A cache's index. `identity`: what it was made of, as JSON, with its `seed` and number of `samples`.

    `latents_per_shard`, `text_per_shard`: how many a shard has, but for the last; `text_per_shard` is 0 where
    captions were left to their encoder. `files`: all of them, once it is finished.
    """

    identity: Mapping[str, Any]
    latents_per_shard: int
    text_per_shard: int
    files: Mapping[str, FileEntry] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        """The number of positions that are kept."""
        return int(self.identity["samples"])

    @property
    def lengths(self) -> list[int]:
        """How many of latents and of text a shard has, as the index shard keeps them, too."""
        return [self.latents_per_shard, self.text_per_shard]

    @property
    def shards(self) -> int:
        """The number of shards of latents."""
        return -(-self.samples // self.latents_per_shard)


def write_plan(folder: Path, plan: Plan) -> None:
    """Write the index. Raises OSError."""
    write_file(folder / NAME, json.dumps({"form": FORM, **asdict(plan)}, indent=1) + "\n")


def read_plan(folder: Path) -> Plan | None:
    """Read the index; None where there is none. Raises DataError for anything else."""
    path = folder / NAME
    try:
        body = decode(read_source(path, MOST_BYTES), str(path), DataError, most=MOST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if body.get("form") != FORM:
        raise DataError(
            f"{path} is of form {body.get('form')!r} and this software reads form {FORM}; "
            "make the cache again, in another folder"
        )
    try:
        files = {str(name): FileEntry(int(e["size"]), str(e["sha256"])) for name, e in body["files"].items()}
        plan = Plan(
            dict(body["identity"]), int(body["latents_per_shard"]), int(body["text_per_shard"]), files
        )
        if set(body) != _FIELDS or min(plan.samples, plan.latents_per_shard) < 1 or plan.text_per_shard < 0:
            raise ValueError("its fields are others")
        if differing := sorted(plan.identity.keys() ^ _IDENTITY):
            raise ValueError(f"its identity lacks these, or has them beyond its form: {', '.join(differing)}")
        int(plan.identity["seed"])
        dict(plan.identity["data"])
        return plan
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is no index of a cache ({error}); make the cache again") from error


def check_identity(folder: Path, made: Mapping[str, Any], asked: Mapping[str, Any], remedy: str) -> None:
    """Raise UsageError, which names every difference, unless the cache was `made` of all that is `asked`."""
    differing = [
        f"{name} was {_short(made.get(name))} and is now {_short(asked[name])}"
        for name in sorted(asked)
        if made.get(name) != asked[name]
    ]
    if differing:
        raise UsageError(f"{folder} is a cache of something else: {'; '.join(differing)}. {remedy}")


def _short(value: object) -> str:
    """Return a digest by its beginning, and anything else as it is."""
    return f"{value[:12]}…" if isinstance(value, str) and len(value) == 64 else json.dumps(value)


def shards(names: Iterable[str]) -> dict[tuple[str, int], str]:
    """Return the names that are shards', by kind and number."""
    found = map(_SHARD.fullmatch, names)
    return {(match[1], int(match[2])): match[0] for match in found if match}


def entry(folder: Path, name: str) -> FileEntry:
    """Return a shard's size, and the digest in its name. Raises OSError."""
    return FileEntry((folder / name).stat().st_size, name.split("-")[2].partition(".")[0])


def shard_name(kind: str, number: int, digest: str) -> str:
    return f"{kind}-{number:05d}-{digest}.safetensors"
