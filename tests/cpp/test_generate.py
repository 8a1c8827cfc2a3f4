"""`aptp-generate` beside `python -m runtime.generate`: files, JSON, exit codes, and what is refused."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from runtime.formats import PNG_KEY

pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def generate(program: Callable[[str], Path], bundle: Path, cache: Path, tmp_path: Path) -> Run:
    def run(*words: str, command: list[Any] | None = None) -> subprocess.CompletedProcess[str]:
        options = ["--bundle", bundle, "--cache", cache, "--steps", "3"]
        return subprocess.run(
            [*(command or [program("aptp-generate")]), *options, *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


def test_files_and_json_are_those_of_python(generate: Run, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("\ufeffthree Yellow stars\r\n\n  \nÜber 星\n", encoding="utf-8")
    words = ["a red circle", "--prompts", "prompts.txt", "--engine", "cpu", "--json", "--seed=9"]
    words += ["--precision", "float32"]
    words += ["--negative-prompt", "blue", "--guidance", "3.5", "--size", "32x48"]
    ours = generate(*words, "--out", "a")
    theirs = generate(*words, "--out", "b", command=[sys.executable, "-m", "runtime.generate"])
    assert (ours.returncode, theirs.returncode) == (0, 0), ours.stderr + theirs.stderr
    told, expected = json.loads(ours.stdout), json.loads(theirs.stdout)
    assert (told[0]["width"], told[0]["height"]) == (32, 48)
    for one, other in zip(told, expected, strict=True):
        assert one.pop("milliseconds") > 0
        other.pop("milliseconds")
        paths = tmp_path / one.pop("file"), tmp_path / other.pop("file")
        assert paths[0].name == paths[1].name
        assert list(one.items()) == list(other.items())
        with Image.open(paths[0]) as image, Image.open(paths[1]) as another:
            assert image.tobytes() == another.tobytes()
            assert json.loads(image.text[PNG_KEY]) == json.loads(another.text[PNG_KEY])
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "no prompt was given"),
        (["a", "--stepps", "3"], 2, "unknown option '--stepps' (did you mean '--steps'?)"),
        (
            ["a", "--negative-promt=a blue"],
            2,
            "unknown option '--negative-promt' (did you mean '--negative-prompt'?)",
        ),
        (["a", "--steps", "x"], 2, "'x' is not an integer"),
        (["a", "--seed"], 2, "--seed: a value is missing"),
        (["a", "--seed", "x"], 2, "--seed: 'x': give an integer from 0, or random"),
        (["a", "--device", "x"], 2, "--device: 'x' is not an integer"),
        (["a", "--device=-1"], 2, "device -1: give an integer of at least 0"),
        (["a", "--seed", "18446744073709551616"], 2, "above 2^64 - 1"),
        (["a", "b", "--seed", "18446744073709551615"], 2, "every image's seed"),
        (["a", "--size", "64"], 2, "give WIDTHxHEIGHT in pixels"),
        (["a", "--engine", "cpuu"], 2, "did you mean 'cpu'?"),
        (["a", "--code", "9"], 2, "code 9: give an integer from 0 to 3, or 'dense'"),
        (["a", "--prompts", "nowhere"], 2, "--prompts nowhere: cannot be read"),
        (["a", "--prompts", "some.CSV"], 2, "--prompts some.CSV: is a table; give one prompt a line"),
        (["a", "--engine", "cuda"], 3, "engine 'cuda' cannot be used"),
        (["a", "--engine", "cuda", "--provider", "/no.so"], 3, "/no.so: the provider plugin does not load"),
        (["a", "--precision", "bfloat61"], 2, "did you mean 'bfloat16'?"),
        (["a", "--engine", "cpu", "--precision", "bfloat16"], 3, "engine 'cpu' computes in float32"),
    ],
)
def test_what_is_refused(words: list[str], code: int, message: str, generate: Run, tmp_path: Path) -> None:
    done = generate(*words)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert not list(tmp_path.rglob("*.png"))


def test_a_value_may_hold_spaces_or_nothing(generate: Run) -> None:
    words = ["--json", "--overwrite", "--steps=2", "--", "- a hyphen"]
    for value in ("a blue square", "", "-x"):
        done = generate(f"--negative-prompt={value}", *words)
        assert done.returncode == 0, done.stderr
        assert [made["prompt"] for made in json.loads(done.stdout)] == ["- a hyphen"]
        assert json.loads(done.stdout)[0]["negative_prompt"] == value


def test_the_last_value_counts_and_files_of_prompts_add_up(generate: Run, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("first\n")
    (tmp_path / "two.txt").write_text("second\n")
    words = [
        "--prompts",
        "one.txt",
        "--prompts",
        "two.txt",
        "--steps",
        "x",
        "--steps",
        "2",
        "zeroth",
        "--json",
    ]
    done = generate(*words)
    assert done.returncode == 0, done.stderr
    assert [made["prompt"] for made in json.loads(done.stdout)] == ["zeroth", "first", "second"]
    assert json.loads(done.stdout)[0]["steps"] == 2


def test_a_seed_that_nobody_chose(generate: Run, tmp_path: Path) -> None:
    seeds = []
    for _ in range(2):
        done = generate("a", "b", "--seed", "random", "--json")
        assert done.returncode == 0, done.stderr
        first, second = json.loads(done.stdout)
        assert second["seed"] == first["seed"] + 1
        assert (tmp_path / "out" / f"000-a-seed{first['seed']}.png").exists()
        seeds.append(first["seed"])
    assert 0 <= min(seeds) < max(seeds) < 2**32  # two of them are the same once in four billion runs


def test_help_names_every_option(program: Callable[[str], Path]) -> None:
    done = subprocess.run([program("aptp-generate"), "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: aptp-generate [options] PROMPT ...")
    for option in (
        "--prompts FILE",
        "--seed N|random",
        "--device N",
        "--size WIDTHxHEIGHT",
        "--negative-prompt TEXT",
        "--version",
    ):
        assert option in done.stdout


def test_no_bundle(program: Callable[[str], Path], tmp_path: Path) -> None:
    command = [program("aptp-generate"), "--bundle", tmp_path / "none", "a"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 3
    assert "cannot be opened as a folder" in done.stderr


def test_an_image_that_is_there_stays_unless_it_may_go(generate: Run, tmp_path: Path) -> None:
    place = tmp_path / "out" / "000-a-seed0.png"
    place.parent.mkdir()
    place.write_text("mine")
    done = generate("a")
    assert done.returncode == 2
    assert "is there already; add --overwrite" in done.stderr
    assert place.read_text() == "mine"
    assert generate("a", "--overwrite").returncode == 0
    assert place.read_bytes().startswith(b"\x89PNG")


def test_some_that_fail_leave_the_others(generate: Run) -> None:
    done = generate("a", "b" * 10_001, "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert "file" in told[0]
    assert "10001 characters" in told[1]["error"]


def test_an_interrupt_keeps_what_is_done(
    program: Callable[[str], Path], bundle: Path, cache: Path, tmp_path: Path
) -> None:
    prompts = [f"a {index}" for index in range(400)]
    command = [program("aptp-generate"), "--bundle", bundle, "--cache", cache, "--steps", "20", *prompts]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not list(tmp_path.rglob("*.png")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.rstrip().endswith("interrupted")
    made = list((tmp_path / "out").iterdir())
    assert 0 < len(made) < len(prompts)
    for path in made:
        with Image.open(path) as image:
            image.load()


def test_a_cache_that_its_group_may_write_to_has_to_be_trusted(generate: Run, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o770)
    refused = generate("a red circle", "--cache", shared)
    assert refused.returncode == 1
    assert "can be written by its group" in refused.stderr
    assert generate("a red circle", "--cache", shared, "--cache-group-writable").returncode == 0
