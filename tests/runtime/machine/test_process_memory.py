import ctypes
from pathlib import Path

import numpy as np
import pytest

from runtime.machine import process_memory
from runtime.machine.process_memory import ProcessMemory


def test_a_large_array_is_private_memory() -> None:
    before = process_memory.read()
    array = np.ones(8 * 2**20, np.float64)
    after = process_memory.read()
    assert before is not None
    assert after is not None
    assert after.private - before.private >= 0.9 * array.nbytes
    assert after.resident >= after.private
    assert after.peak >= after.resident


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="this C library is not glibc")
def test_freed_memory_is_given_back() -> None:
    blocks = [bytearray(b"1" * 2**16) for _ in range(2000)]
    del blocks[:-1]  # the last one holds the heap's end in its place
    kept = process_memory.read()
    process_memory.give_back()
    after = process_memory.read()
    assert kept is not None
    assert after is not None
    assert kept.private - after.private > 1000 * 2**16


def test_kilobytes_are_bytes(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7/smaps_rollup").write_text("00-ff ---p 00:00 [rollup]\nRss: 30 kB\nAnonymous:  20 kB\n")
    (tmp_path / "7/status").write_text("Name:\tpython\nVmHWM:\t   40 kB\nThreads:\t3\n")
    assert process_memory.read(7, tmp_path) == ProcessMemory(
        resident=30 * 1024, private=20 * 1024, peak=40 * 1024
    )


def test_what_the_system_does_not_tell_is_none(tmp_path: Path) -> None:
    assert process_memory.read("self", tmp_path) is None


def test_a_peak_that_cannot_be_reset_is_told(tmp_path: Path) -> None:
    assert not process_memory.reset_peak(tmp_path)
    (tmp_path / "self").mkdir()
    assert process_memory.reset_peak(tmp_path)
    assert (tmp_path / "self/clear_refs").read_text() == "5"


@pytest.mark.skipif(
    not process_memory.reset_peak(), reason="this system does not let a process reset its peak"
)
def test_the_peak_starts_again() -> None:
    array = np.ones(8 * 2**20, np.float64)
    size = array.nbytes
    high = process_memory.read()
    del array
    process_memory.reset_peak()
    low = process_memory.read()
    assert high is not None
    assert low is not None
    assert high.peak - low.peak >= 0.9 * size
