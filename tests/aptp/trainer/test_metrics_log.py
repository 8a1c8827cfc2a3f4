"""The record: cut back to the step a run goes on from, and refused by name where it is none."""

import json
import os

import pytest

from aptp.trainer import metrics_log
from aptp.trainer.metrics_log import MetricsLog
from runtime.errors import IntegrityError, StorageError


def lines(count):
    return "".join(json.dumps({"step": i, "loss": 0.5, "seconds": 1.0}) + "\n" for i in range(count))


def opened(folder, done):
    with MetricsLog(folder, "toy", 9, done):
        return [entry["step"] for entry in metrics_log.read(folder)]


@pytest.mark.parametrize(("done", "left"), [(0, []), (2, [0, 1]), (5, [0, 1, 2, 3]), (9, [0, 1, 2, 3])])
def test_it_is_cut_back_to_the_step(tmp_path, done, left):
    (tmp_path / metrics_log.NAME).write_text(lines(4))
    assert opened(tmp_path, done) == left


@pytest.mark.parametrize("tail", [b"\0" * 40, b"\0\n", b'{"step": 4, "lo', b"no JSON\n" * 3])
def test_what_a_power_failure_left_behind_the_step_is_cut(tmp_path, tail):
    (tmp_path / metrics_log.NAME).write_bytes(lines(4).encode() + tail)
    assert opened(tmp_path, 4) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "line", ["", "no JSON", "[]", "3", "{}", '{"step": "2", "seconds": 1}', '{"step": 2}', "[" * 100_000]
)
def test_a_line_that_is_no_step_is_named(tmp_path, line):
    (tmp_path / metrics_log.NAME).write_text(lines(2) + line + "\n" + lines(1))
    with pytest.raises(IntegrityError, match=r"log.jsonl, line 3 is not the record of a step; put it right"):
        metrics_log.read(tmp_path)


def test_what_is_no_file_or_no_text(tmp_path):
    path = tmp_path / metrics_log.NAME
    path.write_bytes(lines(2).encode() + b"\xff\n")
    with pytest.raises(IntegrityError, match="log.jsonl cannot be read .*; put it right, or move it away"):
        metrics_log.read(tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(IntegrityError, match="it is not a regular file"):
        opened(tmp_path, 3)


def test_a_folder_that_takes_no_record(tmp_path):
    with pytest.raises(StorageError, match="log.jsonl: No such file or directory; see to its place"):
        opened(tmp_path / "nowhere", 0)


def record_on_a_full_disk(folder):
    with MetricsLog(folder, "toy", 9, 0) as record, open("/dev/full", "wb") as full:
        os.dup2(full.fileno(), record._file.fileno())
        record.step(0, {"loss": 1.0})


def test_a_disk_that_fills_up(tmp_path):
    with pytest.raises(StorageError, match="log.jsonl cannot be written: No space left on device"):
        record_on_a_full_disk(tmp_path)
