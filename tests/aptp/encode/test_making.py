"""Caches: what they hold, how their making goes on, and who is refused."""

import copy
import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from aptp.data.batches import batches
from aptp.data.cache import form
from aptp.data.cache import shard as shards
from aptp.data.cache.source import CachedSource, finished_plan
from aptp.data.sample import NamedSource
from aptp.encode import making
from aptp.encode import task as encoding
from aptp.encode.making import Making, _turns
from aptp.encode.task import EncodeTask, Opened
from aptp.trainer.feed import open_feed
from aptp.trainer.inputs import CachedInputs, EncodedInputs
from aptp.trainer.precision import DTYPES, autocast
from runtime.errors import DataError, DiskFullError, IntegrityError, StorageError, UsageError
from tests.aptp.encode.conftest import BATCH, SAMPLES, Make
from tests.aptp.trainer.toys import drawn
from tests.checkpoints import mini_checkpoint, sign


class Killed(Exception):
    """Ends a making in the middle of a shard."""


def opened(folder: Path, seed: int = 0) -> CachedSource:
    return CachedSource(folder, finished_plan(folder), seed)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def shard(folder: Path, kind: str, number: int = 0) -> Path:
    return folder / form.shards(os.listdir(folder))[kind, number]


def killed_at(task: EncodeTask, folder: Path, kind: str, at: int) -> None:
    def tell(what: str, done: int, total: int) -> None:
        if (what, done >= at) == (kind, True):
            raise Killed

    with pytest.raises(Killed):
        Making(Opened.open(task), folder, tell).run()


@pytest.mark.parametrize("precision", DTYPES)
def test_a_cache_gives_what_the_encoders_give(
    task: EncodeTask, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    monkeypatch.setattr(encoding, "check_precision", lambda precision, device: None)  # fp16, on a processor
    task = replace(task, precision=precision)
    make(task, tmp_path / "cache")
    live, cached = Opened.open(task), opened(tmp_path / "cache")
    pairs = zip(batches(live.source, BATCH), batches(cached, BATCH), strict=False)
    whole, kept = EncodedInputs(live.pipeline), CachedInputs(live.pipeline, cached.empty)
    torch.testing.assert_close(kept.empty(), whole.empty(), rtol=0, atol=0)
    for number, (pictures, encodings) in zip(range(SAMPLES // BATCH), pairs, strict=False):
        assert encodings.captions == pictures.captions
        assert [m["skipped"] for m in encodings.metadata] == [m["skipped"] for m in pictures.metadata]
        with autocast(precision, torch.device("cpu")):
            one, other = (
                inputs.latents(batch, drawn(BATCH, step=number))
                for inputs, batch in ((whole, pictures), (kept, encodings))
            )
        assert torch.equal(one, other)
        assert encodings.encodings
        assert encodings.encodings.moments.dtype == (DTYPES[precision] or torch.float32)
        texts = whole.text(pictures), kept.text(encodings)
        torch.testing.assert_close(texts[1].hidden, texts[0].hidden)  # captions met in other company
        assert torch.equal(texts[0].mask, texts[1].mask)


def test_some_rows_of_a_batch(task: EncodeTask, make: Make, tmp_path: Path) -> None:
    make(task, tmp_path / "cache")
    cached = opened(tmp_path / "cache")
    batch, rows = next(batches(cached, BATCH)), torch.tensor([2, 0])
    kept = CachedInputs(Opened.open(task).pipeline, cached.empty)
    assert torch.equal(kept.moments(batch.part(rows)), kept.moments(batch)[rows])


def test_a_broken_picture_is_passed_over_as_in_training(task: EncodeTask, make: Make, tmp_path: Path) -> None:
    make(replace(task, samples=None), tmp_path / "cache")
    live, cached = Opened.open(task).source, opened(tmp_path / "cache")
    count = live.about["pairs"]
    assert finished_plan(tmp_path / "cache").samples == count
    told = [[source[i].metadata["skipped"] for i in range(count)] for source in (live, cached)]
    assert told[0] == told[1]
    assert any(told[0])


def test_after_the_last_sample_they_come_again_in_another_order(
    task: EncodeTask, make: Make, tmp_path: Path
) -> None:
    make(replace(task, text="none"), tmp_path / "cache")
    cached, other = opened(tmp_path / "cache"), opened(tmp_path / "cache", seed=1)

    def turn(source: CachedSource, number: int) -> list[str]:
        return [source[number * SAMPLES + i].caption for i in range(SAMPLES)]

    orders = [turn(cached, 0), turn(cached, 1), turn(cached, 2), turn(other, 0)]
    assert len({tuple(order) for order in orders}) == 4
    assert all(sorted(order) == sorted(orders[0]) for order in orders)


def test_captions_are_kept_once(task: EncodeTask, make: Make, tmp_path: Path) -> None:
    pairs = Opened.open(task).source.about["pairs"]
    make(replace(task, samples=2 * pairs), tmp_path / "cache")
    kept = [name for kind, name in form.shards(os.listdir(tmp_path / "cache")).items() if kind[0] == "text"]
    size = sum((tmp_path / "cache" / name).stat().st_size for name in kept)
    assert size < 1.3 * pairs * 77 * 32 * 4


def test_half_precision_and_no_text_at_all(task: EncodeTask, make: Make, tmp_path: Path) -> None:
    for text in ("float32", "float16", "none"):
        make(replace(task, text=text), tmp_path / text)
    whole, half, none = (opened(tmp_path / text) for text in ("float32", "float16", "none"))
    kept = half[3].encodings
    assert kept is not None
    assert kept.hidden is not None
    assert kept.hidden.dtype == torch.float16
    exact = whole[3].encodings
    assert exact is not None
    torch.testing.assert_close(kept.hidden.float(), exact.hidden, rtol=2**-10, atol=1e-6)
    pipeline = Opened.open(task).pipeline
    inputs = CachedInputs(pipeline, none.empty)
    batch = next(batches(none, BATCH))
    assert torch.equal(inputs.text(batch).hidden, EncodedInputs(pipeline).text(batch).hidden)
    assert torch.equal(inputs.empty(), EncodedInputs(pipeline).empty())
    assert not [name for name, _ in inputs.named_parameters() if "vae" in name]


@pytest.mark.parametrize(("kind", "at"), [("latents", 6), ("latents", 9), ("text", 2)])
def test_a_making_that_was_killed_goes_on_to_the_same_bytes(
    task: EncodeTask, make: Make, tmp_path: Path, kind: str, at: int
) -> None:
    make(task, tmp_path / "whole")
    killed_at(task, tmp_path / "parts", kind, at)
    kept = {name: data for name, data in bytes_of(tmp_path / "parts").items() if name.startswith("latents")}
    with pytest.raises(DataError, match=r"is not finished; run the same python -m aptp\.encode again"):
        finished_plan(tmp_path / "parts")
    make(task, tmp_path / "parts")
    assert bytes_of(tmp_path / "parts") == bytes_of(tmp_path / "whole")
    assert kept.items() <= bytes_of(tmp_path / "whole").items()


def test_what_is_whole_is_not_made_again(task: EncodeTask, make: Make, tmp_path: Path) -> None:
    killed_at(task, tmp_path / "cache", "latents", 9)
    before = shard(tmp_path / "cache", "latents").stat().st_ino
    make(task, tmp_path / "cache")
    assert shard(tmp_path / "cache", "latents").stat().st_ino == before


@pytest.mark.parametrize("harm", ["damage", "cut", "remove"])
@pytest.mark.parametrize("kind", ["latents", "text", "index"])
def test_a_harmed_shard_is_refused_and_made_anew(
    task: EncodeTask, make: Make, tmp_path: Path, kind: str, harm: str
) -> None:
    folder = tmp_path / "cache"
    make(task, folder)
    whole, path = bytes_of(folder), shard(folder, kind)
    data = path.read_bytes()
    path.unlink()
    if harm != "remove":
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]) if harm == "damage" else data[:-8])
    with pytest.raises(IntegrityError, match=f"{kind}.*run the same python -m aptp.encode again"):
        _ = opened(folder)[0]
    make(task, folder)
    assert bytes_of(folder) == whole


@contextmanager
def held(folder: Path, name: str) -> Iterator[None]:
    """Let another process hold a lock until the block ends."""
    code = f"""
import sys
from pathlib import Path
from runtime.files import lock
with lock.locked(Path({str(folder / name)!r}), ""):
    print("held", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        yield
        other.communicate("")


def test_a_shard_that_another_process_is_at_is_left_to_it_until_the_end(
    task: EncodeTask, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cache"
    made = Making(Opened.open(task), folder, lambda what, done, total: None)
    monkeypatch.setattr(making, "DAY", 0.1)
    with held(folder, ".latents-00000.lock"), pytest.raises(Exception, match="another process is at work"):
        made.run()
    assert {kind for kind in form.shards(os.listdir(folder)) if kind[0] == "latents"} == {
        ("latents", 1),
        ("latents", 2),
    }
    made.run()  # whoever held it ended, and left it to us
    make(task, tmp_path / "whole")
    assert bytes_of(folder) == bytes_of(tmp_path / "whole")


def test_processes_of_a_launcher_begin_at_different_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(_turns(4)) == [0, 1, 2, 3]
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert list(_turns(4)) == [2, 3, 0, 1]


def test_other_options_are_refused_by_name(task: EncodeTask, make: Make, tmp_path: Path) -> None:
    make(task, tmp_path / "cache")
    for change, name in (
        ({"seed": 1}, "seed was 0 and is now 1"),
        ({"samples": 5}, "samples was 18 and is now 5"),
        ({"size": (64, 64)}, r"size was \[32, 32\] and is now \[64, 64\]"),
        ({"precision": "bf16"}, 'precision was "no" and is now "bf16"'),
        ({"text": "none"}, 'text was "float32" and is now "none"'),
    ):
        with pytest.raises(UsageError, match=f"is a cache of something else: .*{name}.*another --out"):
            make(replace(task, **change), tmp_path / "cache")


def test_a_folder_of_other_things(task: EncodeTask, make: Make, tmp_path: Path) -> None:
    (tmp_path / "thesis").write_text("years of work")
    with pytest.raises(UsageError, match="is not empty and no cache"):
        make(task, tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not UTF-8 JSON"),
        ('{"form": 9}', "is of form 9 and this software reads form 1"),
        ('{"form": 1}', "is no index of a cache"),
        ('{"form": 1, "identity": [], "latents_per_shard": 1, "text_per_shard": 1, "files": {}}', "no index"),
    ],
)
def test_an_index_that_is_none(task: EncodeTask, make: Make, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / form.NAME).write_text(text)
    for use in (lambda: finished_plan(tmp_path), lambda: make(task, tmp_path)):
        with pytest.raises(DataError, match=message):
            use()


@pytest.mark.parametrize("name", ["vae", "text_encoder", "data", "seed", "samples"])
def test_an_index_that_does_not_say_what_it_is_of(
    task: EncodeTask, make: Make, tmp_path: Path, name: str
) -> None:
    Making(Opened.open(task), tmp_path, lambda what, done, total: None)  # begun
    changed_index(tmp_path, lambda told: told["identity"].pop(name))
    with pytest.raises(DataError, match=f"no index of a cache .*{name}"):
        finished_plan(tmp_path)


@pytest.mark.parametrize("name", ["latents_per_shard", "text_per_shard"])
def test_lengths_that_are_not_those_of_the_shards(
    task: EncodeTask, make: Make, tmp_path: Path, name: str
) -> None:
    make(task, tmp_path)
    changed_index(tmp_path, lambda told: told.update({name: 2 * told[name]}))
    live = Opened.open(task)

    def fed() -> NamedSource:
        feed = open_feed(live.pipeline, live.source, size=(32, 32), precision="no", seed=0, cache=tmp_path)
        return feed.source

    with pytest.raises(IntegrityError, match="says that shards of latents and text have .*run the same"):
        fed()
    make(task, tmp_path)
    whole, found = live.source, fed()
    assert set(form.shards(os.listdir(tmp_path))) == set(form.shards(finished_plan(tmp_path).files))
    for position in range(SAMPLES):
        assert found[position].caption == whole[position].caption
        assert found[position].encodings


def changed_index(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    told = json.loads((folder / form.NAME).read_bytes())
    change(told)
    (folder / form.NAME).write_text(json.dumps(told))


def test_no_cache_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is no cache of encodings: it has no cache\.json"):
        finished_plan(tmp_path)


def test_room_is_asked_for_beforehand(
    task: EncodeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Making(Opened.open(task), tmp_path / "cache", lambda what, done, total: None)
    made.check_room()
    assert (made.latents, made.text) == (SAMPLES * 8 * 16 * 16 * 4, SAMPLES * 77 * (32 * 4 + 1))
    made.room = made.latents + made.text - 1
    with pytest.raises(DiskFullError, match=f"{made.latents + made.text:,} bytes needed"):
        made.check_room()
    made.run()
    made = Making(Opened.open(task), tmp_path / "cache", lambda what, done, total: None)
    made.room = 0
    made.check_room()  # all of it is there


def test_a_disk_that_fills_leaves_what_is_whole(
    task: EncodeTask, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, write = [], shards.write_file

    def full(path: Path, data: bytes) -> None:
        if len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(path.name)
        write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(shards, "write_file", full)
        with pytest.raises(DiskFullError, match="no space left, .* bytes needed"):
            make(task, tmp_path / "cache")
    assert len(form.shards(os.listdir(tmp_path / "cache"))) == 2
    make(task, tmp_path / "cache")
    assert set(written) <= set(os.listdir(tmp_path / "cache"))


def test_a_place_that_cannot_be_written(task: EncodeTask, make: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match="cannot be written"):
        make(task, tmp_path / "file" / "cache")


def test_numbers_that_are_not_finite(
    task: EncodeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Opened.open(task)
    copied = copy.deepcopy(broken.pipeline.vae)
    torch.nn.init.constant_(copied.quant_conv.bias, float("nan"))
    monkeypatch.setattr(broken.pipeline, "vae", copied)
    with pytest.raises(Exception, match="the VAE gives numbers that are not finite for 'picture number"):
        Making(broken, tmp_path / "cache", lambda what, done, total: None).run()


def test_bad_tasks(task: EncodeTask) -> None:
    for change, message in (
        ({"samples": 0}, "--samples is 0; it must be at least 1"),
        ({"batch": 0}, "--batch is 0"),
        ({"workers": -1}, "--workers is -1; it must be at least 0"),
        ({"text": "int8"}, "--text int8: use one of float32, float16, none"),
        ({"precision": "fp32"}, "--mixed-precision 'fp32'.*: use one of no, bf16, fp16"),
    ):
        with pytest.raises(UsageError, match=message):
            replace(task, **change)
    with pytest.raises(UsageError, match="scenes has no end: say with --samples how many"):
        Opened.open(replace(task, data="scenes", size=(64, 64), samples=None))
    if not torch.accelerator.is_available():
        with pytest.raises(UsageError, match="--mixed-precision fp16 needs a GPU"):
            Opened.open(replace(task, precision="fp16"))
    with pytest.raises(UsageError, match="multiples of 2 pixels"):
        Opened.open(replace(task, size=(33, 32)))


def test_a_checkpoint_is_encoded_at_the_size_that_it_serves(
    task: EncodeTask, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = shutil.copytree(mini_checkpoint(tmp_path_factory), tmp_path / "checkpoint")
    sign(folder, size=[64, 32])  # its pipeline's own is 32x32
    assert Opened.open(replace(task, source=folder)).identity["size"] == [64, 32]


def test_the_index_lists_every_file_and_no_place(task: EncodeTask, make: Make, tmp_path: Path) -> None:
    make(task, tmp_path / "cache")
    told = json.loads((tmp_path / "cache" / form.NAME).read_bytes())
    assert set(told["files"]) == set(os.listdir(tmp_path / "cache")) - {form.NAME}
    assert str(tmp_path) not in json.dumps(told)
