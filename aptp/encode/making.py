"""Making a cache: shard after shard, by as many processes as one likes, killed and begun again at any time.

Processes share a folder and no memory. Each takes the shards that nobody else is at; in the end each waits
for those that others have still in hand, and makes those that others left.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from shutil import disk_usage
from typing import TypeVar

import torch

from aptp.data.cache import form
from aptp.data.cache.form import INDEX, LATENTS, REMEDY, TEXT, Plan, check_identity, entry, shards
from aptp.data.cache.records import DATA, ENDS, Record, Records
from aptp.data.cache.shard import LENGTHS, read_tensors, write_shard
from aptp.data.cache.source import CAPTION, EMPTY
from aptp.encode.encoders import Encoders
from aptp.encode.task import Opened
from runtime.errors import DiskFullError, IntegrityError, LockedError, StorageError, UsageError
from runtime.files.lock import locked
from runtime.files.verified import VerifiedFiles

SHARD = 128 << 20  # bytes
DAY = 86_400.0  # seconds that one process waits for another
BUSY = "another process is at work on it"
OTHER = "Give the same options to go on, or another --out"

Part = TypeVar("Part", bound=Sequence[object])
Tell = Callable[[str, int, int], None]  # what, how many are done, of how many


@dataclass(frozen=True, slots=True)
class Made:
    """A finished cache: how many `captions` there are, and `broken` pictures that were passed over."""

    captions: int
    broken: int


class Making:
    """The making of the cache `folder` from an opened task; `tell` hears how far it is.

    `latents` and `text`: bytes that they take, `text` at most. `room`: bytes that are free.
    """

    def __init__(self, opened: Opened, folder: Path, tell: Tell) -> None:
        """Begin the cache, or go on with it. Raises UsageError where the folder is of something else,
        StorageError where it cannot be written.
        """
        self._folder, self._tell = folder, tell
        self._encoders = Encoders(opened)
        sample, caption = self._encoders.bytes_per_sample(), self._encoders.bytes_per_caption()
        batch, samples = opened.task.batch, opened.samples
        plan = Plan(
            opened.identity,
            max(1, SHARD // sample // batch) * batch,
            max(1, SHARD // caption) if caption else 0,
        )
        self.latents = samples * sample
        self.text = min(samples, opened.source.count or samples) * caption
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder / ".cache.lock", BUSY, seconds=DAY):
                self._plan = self._begun(plan)
            self.room = disk_usage(folder).free
        except OSError as error:
            raise StorageError(f"{folder} cannot be written: {error.strerror}") from error

    def check_room(self) -> None:
        """Raise DiskFullError where what is still to be made has no room."""
        names = () if self._plan.files else shards(os.listdir(self._folder)).values()
        there = sum((self._folder / name).stat().st_size for name in names)
        needed = self.latents + self.text - there
        if needed > self.room and not self._plan.files:
            raise DiskFullError(self._folder, needed)

    def run(self) -> Made:
        """Make everything that is missing or damaged. Raises StorageError, CheckpointError, DataError and
        LockedError; what is finished then stays.
        """
        try:
            each, samples = self._plan.latents_per_shard, self._plan.samples
            parts = [range(first, min(first + each, samples)) for first in range(0, samples, each)]
            self._complete(LATENTS, parts, self._encoders.latents, lambda part: {})
            records = list(self._records(len(parts)))
            numbers: dict[str, int] = {}
            for record in records:
                numbers.setdefault(record.caption, len(numbers))
            captions, each = list(numbers), self._plan.text_per_shard
            texts = (
                [captions[first : first + each] for first in range(0, len(captions), each)] if each else []
            )
            self._complete(TEXT, texts, self._encoders.text, self._encoders.captions)
            places = torch.tensor([numbers[record.caption] for record in records], dtype=torch.int32)
            self._finish({**Records.pack(records).tensors(), CAPTION: places}, len(texts))
        except OSError as error:
            raise StorageError(f"{self._folder} cannot be written: {error.strerror}") from error
        return Made(len(captions), sum(len(record.skipped or ()) for record in records))

    def _begun(self, plan: Plan) -> Plan:
        known = form.read_plan(self._folder)
        if known is not None:
            check_identity(self._folder, known.identity, plan.identity, OTHER)
            return known
        if any(not name.startswith(".") for name in os.listdir(self._folder)):
            raise UsageError(f"{self._folder} is not empty and no cache; choose another folder or remove it")
        form.write_plan(self._folder, plan)
        return plan

    def _complete(
        self,
        kind: str,
        parts: Sequence[Part],
        make: Callable[[Part, Callable[[int], None]], dict[str, torch.Tensor]],
        expected: Callable[[Part], Mapping[str, torch.Tensor]],
    ) -> None:
        """Make every shard of a kind, one of each part, unless it is there and has what is `expected`."""
        total, done, complete = sum(map(len, parts)), 0, set()
        for patience in (0.0, DAY):
            for number in _turns(len(parts)):
                if number in complete:
                    continue
                try:
                    lock = self._folder / f".{kind}-{number:05d}.lock"
                    with locked(lock, BUSY, seconds=patience):
                        if self._is_sound(kind, number, len(parts[number]), expected(parts[number])):
                            self._tell(kind, done + len(parts[number]), total)
                        else:
                            tell = partial(self._told, kind, done, total)
                            write_shard(self._folder, kind, number, make(parts[number], tell))
                except LockedError:
                    if patience:
                        raise
                    continue
                complete.add(number)
                done += len(parts[number])

    def _told(self, kind: str, before: int, total: int, within: int) -> None:
        self._tell(kind, before + within, total)

    def _is_sound(self, kind: str, number: int, rows: int, expected: Mapping[str, torch.Tensor]) -> bool:
        """Return whether a shard is there, whole, of so many `rows` and as `expected`; remove it if it is
        there otherwise.
        """
        name = shards(os.listdir(self._folder)).get((kind, number))
        if name is None:
            return False
        try:
            found = self._tensors(name, {DATA, ENDS, *expected})
            if len(Records.unpack(found)) == rows and all(
                torch.equal(found[key], tensor) for key, tensor in expected.items()
            ):
                return True
        except IntegrityError:
            pass
        (self._folder / name).unlink()
        return False

    def _records(self, count: int) -> Iterator[Record]:
        names = shards(os.listdir(self._folder))
        for number in range(count):
            found = Records.unpack(self._tensors(names[LATENTS, number], (DATA, ENDS)))
            yield from (found[row] for row in range(len(found)))

    def _tensors(self, name: str, keys: Iterable[str]) -> dict[str, torch.Tensor]:
        files = VerifiedFiles(self._folder, {name: entry(self._folder, name)}, REMEDY)
        return read_tensors(files, name, keys)

    def _finish(self, index: dict[str, torch.Tensor], texts: int) -> None:
        """Write the index, and list all files; what an earlier making left beside them goes."""
        index[LENGTHS] = torch.tensor(self._plan.lengths)
        if texts:
            index[EMPTY] = self._encoders.empty()
        counts = {LATENTS: self._plan.shards, TEXT: texts}
        with locked(self._folder / ".cache.lock", BUSY, seconds=DAY):
            name = write_shard(self._folder, INDEX, 0, index)
            files = {}
            for each in sorted(os.listdir(self._folder)):
                for kind, number in shards([each]):
                    if each != name if kind == INDEX else number >= counts[kind]:
                        (self._folder / each).unlink()
                    else:
                        files[each] = entry(self._folder, each)
            form.write_plan(self._folder, replace(self._plan, files=files))


def _turns(count: int) -> Iterator[int]:
    """Yield 0 … `count` − 1, each process of a launcher from another point on."""
    rank, processes = (int(os.environ.get(name, usual)) for name, usual in (("RANK", 0), ("WORLD_SIZE", 1)))
    first = count * rank // max(processes, 1)
    yield from (*range(first, count), *range(first))
