"""Making checkpoints from presets and folders, reproducibly, all or nothing; and the command line."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from aptp.checkpoint.integrity import list_files
from aptp.checkpoint.reader import Checkpoint
from aptp.create import create
from aptp.default import default_checkpoint
from aptp.errors import CheckpointError, SpaceError, StorageError, UsageError


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
    assert made.record.trained
    assert made.record.size == (32, 48)
    original = Checkpoint.open(checkpoint).dense().state_dict()
    for name, tensor in made.dense().state_dict().items():
        assert torch.equal(tensor, original[name]), name


def test_no_temporary_folder_is_left(checkpoint: Path) -> None:
    assert [path.name for path in checkpoint.parent.iterdir()] == [checkpoint.name]


def test_an_existing_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(StorageError, match="not empty"):
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


def test_a_folder_that_is_no_pipeline(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a diffusers pipeline folder"):
        create(tmp_path / "out", source=tmp_path)


def test_pickled_weights_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    import shutil

    source = Path(shutil.copytree(checkpoint, tmp_path / "source"))
    weights = source / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(CheckpointError, match="cannot be read as a diffusers pipeline"):
        create(tmp_path / "out", source=source)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "tinny"}, "did you mean 'tiny'"),
        ({"preset": "tiny", "dtype": "float15"}, "did you mean 'float16'"),
        ({"preset": "tiny", "budgets": ()}, "at least one budget"),
        ({"preset": "tiny", "budgets": (2.0,)}, r"not in \(0, 1\]"),
        ({"preset": "tiny", "size": (63, 64)}, "multiples of 4 pixels"),
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


def test_the_default_is_made_once(tmp_path: Path) -> None:
    folder = default_checkpoint(tmp_path)
    stamp = (folder / "aptp.json").stat().st_mtime_ns
    assert default_checkpoint(tmp_path) == folder
    assert (folder / "aptp.json").stat().st_mtime_ns == stamp
    assert len(Checkpoint.open(folder).record.codes) == 4


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--preset", "tiny"), 2, "--out"),
        (("--preset", "tiny", "--out", "x", "--budget", "0.5"), 2, "did you mean '--budgets'"),
        (("--preset", "tiny", "--out", "x", "--size", "64"), 2, "not HxW"),
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
