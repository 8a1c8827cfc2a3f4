"""Bugs that are planted in a copy of the tree, each of which the quick tests named beside it must find."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.fault, pytest.mark.timeout(600)]


class Bug(NamedTuple):
    """In `file`, every `edits` replaces what is there; `tests` have to fail then."""

    file: str
    edits: dict[str, str]
    tests: str


BUGS = {
    "a hash is not looked at": Bug(
        "runtime/files/verified.py",
        {"if digest != entry.sha256:": "if False:"},
        "tests/fault/test_bundle_bytes.py::test_500_flipped_bits",
    ),
    "links are followed": Bug(
        "runtime/files/verified.py",
        {"os.O_NOFOLLOW": "0"},
        "tests/fault/test_bundle_paths.py::test_what_lies_under_a_good_path",
    ),
    "the queue has no end": Bug(
        "runtime/scheduling/queue.py",
        {"if self.most is not None and": "if False and"},
        "tests/fault/test_service_overload.py::test_so_many_over_are_so_many_refusals",
    ),
    "a place is not given back": Bug(
        "runtime/scheduling/scheduler.py",
        {
            "            self._running.remove(ticket)\n": "            if end is not End.CANCELLED:\n"
            "                self._running.remove(ticket)\n"
        },
        "tests/fault/test_service_ends.py::test_a_slot_is_taken_over_within_a_step",
    ),
    "what is there counts as built": Bug(
        "runtime/models/cache.py",
        {"        if damage is None:  # another": "        if (folder / GRAPH).exists():  # another"},
        "tests/runtime/models/test_cache.py::test_a_damaged_entry_is_built_again",
    ),
    "files are written in their place": Bug(
        "runtime/files/publish.py",
        {
            "    temporary = _temporary(target)\n    check": "    temporary = target\n    check",
            "            _exchange_or_move(temporary, target)\n": "            pass\n",
            "was there before.\n        discard(temporary)": "was there before.\n        pass",
        },
        "tests/runtime/models/test_cache.py::test_wrong_weights_publish_nothing",
    ),
    "a failure is swallowed": Bug(
        "runtime/service/dispatcher.py",
        {"            caught.append(failure)\n": ""},
        "tests/runtime/service/test_dispatcher.py::test_a_call_that_fails_ends_its_own_and_no_other",
    ),
    "a cancel is everybody's": Bug(
        "runtime/service/dispatcher.py",
        {
            "            ended = self._scheduler.cancel(ticket)\n": (
                "            ended = self._scheduler.cancel(ticket)\n"
                "            for other in self._scheduler.tickets() if ended else []:\n"
                '                other.task.failure = Cancelled("the request was cancelled")\n'
                "                self._scheduler.cancel(other)\n"
                "                other.task.tell(other.task.failure)\n"
            )
        },
        "tests/fault/test_service_images.py::test_an_image_does_not_depend_on_its_neighbours",
    ),
    "deadlines are of the wall clock": Bug(
        "runtime/service/dispatcher.py",
        {"clock: Clock = time.monotonic": "clock: Clock = time.time"},
        "tests/fault/test_service_ends.py::test_the_time_of_day_is_nobodys_deadline",
    ),
    "all images have the seed of the first": Bug(
        "runtime/request/params.py",
        {"check_seed(self.seed) + index": "check_seed(self.seed)"},
        "tests/runtime/api/test_pipeline.py::test_the_reply",
    ),
    "waiting requests outlive their deadline": Bug(
        "runtime/scheduling/scheduler.py",
        {"late = [ticket for ticket in self.tickets() if": "late = [ticket for ticket in self._running if"},
        "tests/runtime/scheduling/test_scheduler.py::test_what_waits_ends_at_its_deadline",
    ),
    "a success does not end a row of failures": Bug(
        "runtime/service/health.py",
        {"        if expert in self._failed:\n            del": "        if False:\n            del"},
        "tests/runtime/service/test_health.py::test_a_success_ends_a_row",
    ),
    "a name is given before the bytes are on the disk": Bug(
        "runtime/files/publish.py",
        {"        sync_tree(temporary)\n": ""},
        "tests/runtime/files/test_durability.py::test_an_entry_of_the_cache",
    ),
    "a publication's folder is not synced": Bug(
        "runtime/files/publish.py",
        {"        _sync(target.parent)\n": ""},
        "tests/runtime/files/test_durability.py::test_a_new_folder",
    ),
    "a file that changes while it is hashed passes": Bug(
        "runtime/files/verified.py",
        {"                if _stamp(file) != stamp:": "                if False:"},
        "tests/runtime/files/test_verified.py::test_a_file_that_changes_while_it_is_hashed_is_refused",
    ),
    "digests of tokens are compared with ==": Bug(
        "runtime/serve/authentication.py",
        {"hmac.compare_digest(": "(lambda one, other: one == other)("},
        "tests/runtime/serve/test_authentication.py::test_tokens_are_compared_in_a_time_that_tells_nothing_of_them",
    ),
    "a cache's weights are taken at their own word": Bug(
        "runtime/models/unpacked.py",
        {"        return found.hexdigest()": "        return self.entries[path].sha256"},
        "tests/runtime/models/test_cache.py::test_weights_that_are_not_the_manifests_are_built_again",
    ),
    "a cache that everybody can write is used": Bug(
        "runtime/files/cache_folder.py",
        {"if found.st_mode & stat.S_IWOTH:": "if False:"},
        "tests/runtime/models/test_cache_folder.py::test_a_folder_that_others_can_write_is_refused_by_name",
    ),
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the tests need."""
    ignore = shutil.ignore_patterns("__pycache__", "out")
    for name in ("runtime", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def tried(tree: Path, *tests: str) -> tuple[int, str]:
    """The exit code of the quick ones of `tests`: 0, or 1 where one failed; and what was told."""
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not fault"]
    done = subprocess.run([*command, *tests], cwd=tree, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def test_without_a_bug_they_pass(tree: Path) -> None:
    code, told = tried(tree, *(bug.tests for bug in BUGS.values()))
    assert code == 0, told


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_is_found(tree: Path, name: str) -> None:
    bug = BUGS[name]
    source = (tree / bug.file).read_text()
    for old, new in bug.edits.items():
        assert old in source, "the bug has to be planted where its code is now"
        source = source.replace(old, new)
    (tree / bug.file).write_text(source)
    code, told = tried(tree, bug.tests)
    assert code == 1, f"nobody noticed that {name}: {told}"
