import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from runtime import Pipeline
from runtime.errors import CacheFailure, IntegrityError, NotABundle, OutputFailure, RuntimeFailure, UsageError
from runtime.generate.__main__ import main
from runtime.images import encoding
from runtime.service.generated import Generated
from tests.bundles import edit, write_bundle

ROOT = Path(__file__).parents[3]
Generate = Callable[..., int]


@pytest.fixture
def generate(bundle_path: Path, cache_path: Path, tmp_path: Path) -> Generate:
    def call(*arguments: str) -> int:
        places = "--bundle", str(bundle_path), "--cache", str(cache_path), "--out", str(tmp_path / "out")
        return main([*places, "--engine", "cpu", *arguments])

    return call


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_images_json_and_grid(generate: Generate, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        generate("--seed", "3", "--steps", "2", "--size", "24x16", "--grid", "--json", "A red circle!", "")
        == 0
    )
    captured = capsys.readouterr()
    results = json.loads(captured.out)
    assert names(tmp_path / "out") == ["000-a-red-circle-seed3.png", "001-seed4.png", "grid.png"]
    assert [Path(result["file"]).name for result in results] == names(tmp_path / "out")[:2]
    assert (results[0]["prompt"], results[0]["steps"], results[1]["seed"]) == ("A red circle!", 2, 4)
    with Image.open(results[0]["file"]) as image:
        assert image.size == (24, 16)
        assert json.loads(image.text["aptp"]).items() <= results[0].items()
    assert "margin" in captured.err


def test_a_seed_at_random_is_told(
    generate: Generate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate("--seed", "random", "--steps", "1", "--json", "red", "blue") == 0
    first, second = (result["seed"] for result in json.loads(capsys.readouterr().out))
    assert second == first + 1
    assert names(tmp_path / "out") == [f"000-red-seed{first}.png", f"001-blue-seed{second}.png"]


def test_a_seed_at_random_is_another_each_time(generate: Generate, tmp_path: Path) -> None:
    for _ in range(3):
        assert generate("--seed", "random", "--steps", "1", "red") == 0
    assert len(names(tmp_path / "out")) > 1


def test_without_json_nothing_goes_to_stdout(generate: Generate, capsys: pytest.CaptureFixture[str]) -> None:
    generate("red")
    assert capsys.readouterr().out == ""


def test_prompts_from_a_file(generate: Generate, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("\ufeffred\n\nblue 🙂\n", encoding="utf-8")
    generate("small", "--prompts", str(tmp_path / "prompts.txt"))
    assert names(tmp_path / "out") == ["000-small-seed0.png", "001-red-seed1.png", "002-blue-seed2.png"]


def test_images_are_not_overwritten(generate: Generate, tmp_path: Path) -> None:
    generate("red")
    before = (tmp_path / "out/000-red-seed0.png").stat().st_mtime_ns
    with pytest.raises(UsageError, match="is there already; add --overwrite"):
        generate("red")
    assert (tmp_path / "out/000-red-seed0.png").stat().st_mtime_ns == before
    assert generate("--overwrite", "red") == 0


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_a_folder_in_the_place_of_an_image(generate: Generate, tmp_path: Path, more: list[str]) -> None:
    (tmp_path / "out/000-red-seed0.png").mkdir(parents=True)
    with pytest.raises(UsageError, match="is a folder, where an image is to be; choose another --out"):
        generate(*more, "red")


def test_one_image_that_fails_takes_no_other_along(
    generate: Generate, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = encoding.save_png

    def save(image: Generated, path: Path) -> None:
        if image.prompt == "blue":
            raise OutputFailure("the reason")
        real(image, path)

    monkeypatch.setattr(encoding, "save_png", save)
    assert generate("--json", "--grid", "red", "blue", "large") == 1
    assert names(tmp_path / "out") == ["000-red-seed0.png", "002-large-seed2.png", "grid.png"]
    captured = capsys.readouterr()
    results = json.loads(captured.out)
    assert [result.get("error") for result in results] == [None, "the reason", None]
    assert "failed" in captured.err
    assert "error: 'blue': the reason" in captured.err


def test_a_code_that_is_not_there_fails_alone(
    tmp_path: Path, cache_path: Path, runtime: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = ["a red circle", "blue", "", "a small square and a large circle"]
    codes = [route.code for route in runtime.route(prompts)]
    bundle = write_bundle(tmp_path / "bundle", experts=[str(codes[0])])
    places = "--bundle", str(bundle), "--cache", str(cache_path), "--out", str(tmp_path / "out")
    assert main([*places, *prompts]) == 1
    made = [index for index, code in enumerate(codes) if code == codes[0]]
    assert [int(name[:3]) for name in names(tmp_path / "out")] == made
    assert capsys.readouterr().err.count("no fallback") == len(prompts) - len(made) > 0


def test_an_interrupt_keeps_what_is_done(
    generate: Generate, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = encoding.save_png

    def save(image: Generated, path: Path) -> None:
        if image.prompt == "blue":
            raise KeyboardInterrupt
        real(image, path)

    monkeypatch.setattr(encoding, "save_png", save)
    with pytest.raises(KeyboardInterrupt):
        generate("--batch", "1", "--code", "0", "red", "blue")
    assert names(tmp_path / "out") == ["000-red-seed0.png"]
    assert "000-red-seed0.png" in capsys.readouterr().err


def test_a_grid_that_fails_is_told(
    generate: Generate, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OutputFailure("no sheet")

    monkeypatch.setattr(encoding, "save_grid", refuse)
    assert generate("--grid", "red") == 1
    assert names(tmp_path / "out") == ["000-red-seed0.png"]
    assert "error: no sheet" in capsys.readouterr().err


def test_markup_in_a_path_is_text(
    bundle_path: Path, cache_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o[/b]x[red]"
    assert (
        main(["--bundle", str(bundle_path), "--cache", str(cache_path), "--out", str(out), "[/b] red"]) == 0
    )
    shown = "".join(capsys.readouterr().err.split())
    assert "o[/b]x[red]" in shown
    assert "[/b]red" in shown


def test_warnings(tmp_path: Path, cache_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = write_bundle(tmp_path / "bundle", experts=["dense"])
    edit(bundle, lambda manifest: manifest["router"].update(fallback="dense"))
    places = "--bundle", str(bundle), "--cache", str(cache_path), "--out", str(tmp_path / "out")
    main([*places, "red " * 8, "blue", "--negative-prompt", "blue " * 9])
    told = " ".join(capsys.readouterr().err.split())
    assert "the prompt is too long: its last 2 tokens were not used" in told
    assert told.count("the negative prompt is too long: its last 3 tokens were not used") == 1
    assert "is not in the bundle: dense made the image" in told
    guard = {"threshold": 1e-3, "expert": "dense"}
    edit(bundle, lambda manifest: manifest["router"].update(out_of_distribution=guard))
    main([*places, "--overwrite", "blue"])
    told = " ".join(capsys.readouterr().err.split())
    assert re.search(
        r"unlike those of the training \(distance \d+\.\d\d\): expert dense made the image", told
    )
    assert "is not in the bundle" not in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no prompt was given"),
        (["--steps", "x", "red"], "--steps: 'x' is not an integer"),
        (["--steps", "99", "red"], "steps 99: solver 'ddim' offers 1 to 10"),
        (["--guidance", "x", "red"], "--guidance: 'x' is not a number"),
        (["--guidance", "nan", "red"], "guidance nan"),
        (["--size", "16", "red"], "--size: '16': give WIDTHxHEIGHT in pixels"),
        (["--size", "15x16", "red"], "width 15: give a multiple of 8"),
        (["--code", "7", "red"], "code 7: give an integer from 0 to 3"),
        (["--code", "dens", "red"], "--code: 'dens' is not an integer"),
        (["--seed", "-1", "red"], "give an integer from 0, or random"),
        (["--seed", "9" * 31, "red"], "give an integer from 0, or random"),
        (["--seed", str(2**64), "red"], "seed 18446744073709551616"),
        (["--batch", "0", "red"], "batch 0"),
        (["--prompts", "/nowhere", "red"], "/nowhere cannot be read"),
        (["\0"], "NUL"),
        (["\ud800"], "half of a surrogate pair"),
    ],
)
def test_usage(generate: Generate, tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        generate(*arguments)
    assert not list(tmp_path.glob("out/*"))


LONG = "x" * 256


@pytest.mark.parametrize(
    ("option", "value", "error", "message"),
    [
        ("--bundle", "nowhere", NotABundle, "nowhere: cannot be opened as a folder: No such file"),
        ("--bundle", "file", NotABundle, "Not a directory"),
        ("--bundle", "foreign", NotABundle, r"has no manifest.json, so it is not a bundle"),
        ("--bundle", "loop", NotABundle, "cannot be opened as a folder"),
        ("--bundle", LONG, NotABundle, "File name too long"),
        ("--out", "file", UsageError, "is not a folder that can be made: File exists"),
        ("--out", "file/inner", UsageError, "is not a folder that can be made: Not a directory"),
        ("--out", "loop/inner", UsageError, "is not a folder that can be made: Too many levels"),
        ("--out", LONG, UsageError, "is not a folder that can be made: File name too long"),
        ("--cache", LONG, CacheFailure, "cannot be written, File name too long"),
        ("--cache", "file", CacheFailure, "cannot be written, Not a directory"),
        ("--prompts", LONG, UsageError, "cannot be read"),
        ("--prompts", "foreign", UsageError, "cannot be read"),
        ("--prompts", "latin", UsageError, "cannot be read as UTF-8"),
    ],
)
def test_places(
    bundle_path: Path, tmp_path: Path, option: str, value: str, error: type[RuntimeFailure], message: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "latin").write_bytes("é".encode("latin-1"))
    places = {"--bundle": bundle_path, "--out": tmp_path / "out", "--cache": tmp_path / "cache"}
    arguments = [str(word) for pair in {**places, option: tmp_path / value}.items() for word in pair]
    with pytest.raises(error, match=message):
        main([*arguments, "--engine", "cpu", "red"])
    assert error.exit_code == {NotABundle: 3, UsageError: 2, CacheFailure: 1}[error]
    assert not list(tmp_path.glob("out/*"))


def test_a_damaged_bundle_makes_nothing(copy_path: Path, tmp_path: Path) -> None:
    (copy_path / "router/model.onnx").write_bytes(b"x")
    with pytest.raises(IntegrityError):
        main(
            [
                "--bundle",
                str(copy_path),
                "--cache",
                str(tmp_path / "c"),
                "--out",
                str(tmp_path / "out"),
                "red",
            ]
        )
    assert not (tmp_path / "out").exists()


def process(*arguments: str, cwd: Path, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, which writes no file longer than `limit` bytes."""
    bound = f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))" if limit else ""
    start = "from runtime.cli.parser import run\nfrom runtime.generate.__main__ import main\nrun(main)"
    code = f"import resource; {bound}\n{start}"
    command = [sys.executable, *(["-c", code] if limit else ["-m", "runtime.generate"]), *arguments]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(cwd)}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env=environment, check=False, timeout=60
    )


def test_the_process(copy_path: Path, tmp_path: Path) -> None:
    # In a folder with ./bundle, which is what is used when none is named.
    done = process("--json", "--steps", "1", "red", cwd=copy_path.parent)
    assert (done.returncode, len(json.loads(done.stdout))) == (0, 1)
    full = process("--overwrite", "--grid", "--steps", "1", "red", "blue", cwd=copy_path.parent, limit=100)
    assert full.returncode == 1
    assert full.stderr.count(".png: cannot be written: File too large; make room") == 2
    assert "Traceback" not in full.stderr
    assert names(copy_path.parent / "out") == ["000-red-seed0.png"]  # of the first run
    (copy_path / "manifest.json").write_bytes(b"{}")
    refused = process("--overwrite", "red", cwd=copy_path.parent)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert refused.stderr.startswith("error: ")  # and no empty line before it
    assert refused.stderr.count("\n") == 1
    assert process("--sed", "1", "red", cwd=tmp_path).returncode == 2
