"""Making checkpoints from presets and folders, reproducibly, all or nothing; and the command line."""

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from aptp.checkpoint.publishing import published
from aptp.checkpoint.reader import Checkpoint
from aptp.new.create import create
from runtime.errors import CheckpointError, LockedError, SpaceError, StorageError, UsageError
from runtime.files.verified import list_files


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aptp.new", *arguments], capture_output=True, text=True, timeout=100
    )


def test_the_same_seed_gives_the_same_bytes(checkpoint: Path, tmp_path: Path) -> None:
    create(tmp_path / "again", preset="tiny", budgets=(0.5, 0.8))
    assert list_files(tmp_path / "again") == list_files(checkpoint)


def test_from_a_diffusers_folder(checkpoint: Path, tmp_path: Path) -> None:
    create(tmp_path / "out", source=checkpoint, budgets=(0.7,), size=(32, 48))
    made = Checkpoint.open(tmp_path / "out")
    assert not made.record.trained  # a checkpoint of random weights stays one
    assert made.record.size == (32, 48)
    original = Checkpoint.open(checkpoint).dense().state_dict()
    for name, tensor in made.dense().state_dict().items():
        assert torch.equal(tensor, original[name]), name


def test_no_temporary_folder_is_left(checkpoint: Path) -> None:
    assert [path.name for path in checkpoint.parent.iterdir()] == [checkpoint.name]


def test_an_existing_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(UsageError, match="not empty"):
        create(tmp_path, preset="tiny")
    assert (tmp_path / "mine").read_text() == "precious"


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk(tmp_path: Path) -> None:
    with files_of_at_most(1 << 20), pytest.raises(StorageError, match="no room left"):
        create(tmp_path / "out", preset="tiny", budgets=(0.5,))
    assert list(tmp_path.iterdir()) == []


def test_a_draft_left_by_a_kill_is_taken_over(tmp_path: Path) -> None:
    draft = tmp_path / ".out.tmp"
    (draft / "half").mkdir(parents=True)
    (draft / "rest").write_text("torn")
    with published(tmp_path / "out") as folder:
        (folder / "whole").write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["whole"]


def test_a_link_in_the_place_of_the_draft_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis").write_text("years of work")
    (tmp_path / ".out.tmp").symlink_to(tmp_path / "home")
    with published(tmp_path / "out") as folder:
        (folder / "whole").write_text("whole")
    assert (tmp_path / "home" / "thesis").read_text() == "years of work"
    assert not (tmp_path / "out").is_symlink()


def test_two_at_once(tmp_path: Path) -> None:
    with published(tmp_path / "out") as folder:
        (folder / "mine").write_text("mine")
        with (
            pytest.raises(LockedError, match=r"\.out\.lock: locked by pid \d+; wait for it"),
            published(tmp_path / "out"),
        ):
            pass
    assert (tmp_path / "out" / "mine").read_text() == "mine"


def test_a_target_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    def race() -> None:
        with published(tmp_path / "out") as folder:
            (folder / "mine").write_text("mine")
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "theirs").write_text("theirs")

    with pytest.raises(StorageError, match="cannot be written"):
        race()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "theirs"]


def test_a_pipeline_index_that_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(CheckpointError, match="is a None; this software prunes StableDiffusionPipeline"):
        create(tmp_path / "out", source=tmp_path)


def test_a_folder_that_is_no_pipeline(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a diffusers pipeline folder"):
        create(tmp_path / "out", source=tmp_path)


def test_pickled_weights_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(checkpoint, tmp_path / "source"))
    weights = source / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(CheckpointError, match=r"\.bin is a pickle, which can run code"):
        create(tmp_path / "out", source=source)


def changed(checkpoint: Path, out: Path, file: str, **fields: object) -> Path:
    """A copy as a plain pipeline's folder, with other fields in one of its configs."""
    parts = ("aptp.json", "aptp.sha256", "experts", "router.safetensors")
    source = Path(shutil.copytree(checkpoint, out, ignore=lambda *_: parts))
    config = {**json.loads((source / file).read_text()), **fields}
    (source / file).write_text(json.dumps(config))
    return source


def test_a_size_that_the_folder_does_not_say(checkpoint: Path, tmp_path: Path) -> None:
    source = changed(checkpoint, tmp_path / "source", "unet/config.json", sample_size=None)
    with pytest.raises(UsageError, match="sample_size is None: .* or give --size WIDTHxHEIGHT"):
        create(tmp_path / "out", source=source, budgets=(0.7,))
    create(tmp_path / "out", source=source, budgets=(0.7,), size=(64, 64))
    assert Checkpoint.open(tmp_path / "out").record.size == (64, 64)


def test_what_a_scheduler_was_not_told_stays_unsaid(checkpoint: Path, tmp_path: Path) -> None:
    source = changed(checkpoint, tmp_path / "source", "scheduler/scheduler_config.json")
    old = {"_class_name": "PNDMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}
    (source / "scheduler" / "scheduler_config.json").write_text(json.dumps(old))
    create(tmp_path / "out", source=source, budgets=(0.7,))
    stored = json.loads((tmp_path / "out" / "scheduler" / "scheduler_config.json").read_text())
    assert {name: stored[name] for name in stored if name != "_diffusers_version"} == old


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "tinny"}, "did you mean 'tiny'"),
        ({"preset": "tiny", "dtype": "float15"}, "did you mean 'float16'"),
        ({"preset": "tiny", "budgets": ()}, "at least one budget"),
        ({"preset": "tiny", "budgets": (2.0,)}, r"not in \(0, 1\]"),
        ({"preset": "tiny", "size": (63, 64)}, "multiples of 4 pixels"),
        ({"preset": "tiny", "seed": -1}, "seed -1 is not between"),
        ({"preset": "tiny", "seed": 10**22}, "is not between"),
        ({"preset": "tiny", "align": 0}, "at least 1 channel"),
        ({}, "either a preset or a diffusers folder"),
    ],
)
def test_arguments_that_are_wrong(options: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        create(tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


def test_latents_that_do_not_halve(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="multiples of 4"):
        create(tmp_path / "out", preset="tiny", size=(68, 64))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--preset", "tiny"), 2, "--out"),
        (("--preset", "tiny", "--out", "x", "--budget", "0.5"), 2, "did you mean '--budgets'"),
        (("--presett", "tiny", "--out", "x"), 2, "did you mean '--preset'"),
        (("--preset", "tiny", "--out", "x", "y"), 2, "unexpected argument 'y'"),
        (("--preset", "tiny", "--out", "x" * 300), 1, "cannot be used as a folder"),
        (("--preset", "tiny", "--out", "x", "--size", "64"), 2, "give WIDTHxHEIGHT"),
        (("--preset", "tiny", "--out", "x", "--budgets", "half"), 2, "not a list of numbers"),
        (("--from", "/nowhere", "--out", "x"), 3, "not a diffusers pipeline folder"),
    ],
)
def test_command_line_errors(arguments: tuple[str, ...], code: int, message: str) -> None:
    done = run(*arguments)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
