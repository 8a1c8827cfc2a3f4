import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from runtime.errors import IntegrityError, UsageError
from runtime.generate import main
from tests.bundles import edit, write_bundle

ROOT = Path(__file__).parents[2]
Generate = Callable[..., int]


@pytest.fixture
def generate(bundle_path: Path, cache_path: Path, tmp_path: Path) -> Generate:
    def call(*arguments: str) -> int:
        places = "--bundle", str(bundle_path), "--cache", str(cache_path), "--out", str(tmp_path / "out")
        return main([*places, "--provider", "cpu", *arguments])

    return call


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_images_json_and_grid(generate: Generate, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        generate("--seed", "3", "--steps", "2", "--size", "16x24", "--grid", "--json", "A red circle!", "")
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


def test_without_json_nothing_goes_to_stdout(generate: Generate, capsys: pytest.CaptureFixture[str]) -> None:
    generate("red")
    assert capsys.readouterr().out == ""


def test_prompts_from_a_file(generate: Generate, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("red\n\nblue 🙂\n", encoding="utf-8")
    generate("small", "--prompts", str(tmp_path / "prompts.txt"))
    assert names(tmp_path / "out") == ["000-small-seed0.png", "001-red-seed1.png", "002-blue-seed2.png"]


def test_images_are_not_overwritten(generate: Generate, tmp_path: Path) -> None:
    generate("red")
    before = (tmp_path / "out/000-red-seed0.png").stat().st_mtime_ns
    with pytest.raises(UsageError, match="is there already; add --overwrite"):
        generate("red")
    assert (tmp_path / "out/000-red-seed0.png").stat().st_mtime_ns == before
    assert generate("--overwrite", "red") == 0


def test_warnings(tmp_path: Path, cache_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = write_bundle(tmp_path / "bundle", experts=["dense"])
    edit(bundle, lambda manifest: manifest["router"].update(fallback="dense"))
    main(["--bundle", str(bundle), "--cache", str(cache_path), "--out", str(tmp_path / "out"), "red " * 8])
    told = " ".join(capsys.readouterr().err.split())
    assert "its last 2 tokens were not used" in told
    assert "is not in the bundle: dense made the image" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no prompt was given"),
        (["--bundel", "x", "red"], r"unknown option '--bundel' \(did you mean '--bundle'\?\)"),
        (["--ste", "3", "red"], r"unknown option '--ste' \(did you mean '--steps'\?\)"),
        (["--provider", "gpu", "red"], r"invalid choice: 'gpu'"),
        (["--provider", "openvno", "red"], r"did you mean 'openvino'"),
        (["--steps", "x", "red"], "--steps: 'x' is not an integer"),
        (["--steps", "99", "red"], "steps 99: solver 'ddim' offers 1 to 10"),
        (["--guidance", "x", "red"], "--guidance: 'x' is not a number"),
        (["--guidance", "nan", "red"], "guidance nan"),
        (["--size", "16", "red"], "--size: '16': give height and width in pixels"),
        (["--size", "15x16", "red"], "height 15: give a multiple of 8"),
        (["--code", "7", "red"], "code 7: give an integer from 0 to 3"),
        (["--code", "dens", "red"], "--code: 'dens' is not an integer"),
        (["--seed", "-1", "red"], "seed -1"),
        (["--seed", "9" * 31, "red"], "is not an integer"),
        (["--batch", "0", "red"], "batch 0"),
        (["--prompts", "/nowhere", "red"], "--prompts /nowhere: cannot be read"),
        (["\0"], "NUL"),
        (["\ud800"], "half of a surrogate pair"),
    ],
)
def test_usage(generate: Generate, tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        generate(*arguments)
    assert not list(tmp_path.glob("out/*"))


def test_out_that_is_a_file(generate: Generate, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(UsageError, match="is not a folder that can be made"):
        generate("red")


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


def process(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runtime.generate", *arguments]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(cwd)}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env=environment, check=False, timeout=60
    )


def test_the_process(copy_path: Path, tmp_path: Path) -> None:
    # In a folder with ./bundle, which is what is used when none is named.
    done = process("--json", "--steps", "1", "red", cwd=copy_path.parent)
    assert (done.returncode, len(json.loads(done.stdout))) == (0, 1)
    (copy_path / "manifest.json").write_bytes(b"{}")
    refused = process("--overwrite", "red", cwd=copy_path.parent)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert refused.stderr.count("error: ") == 1
    assert "Traceback" not in refused.stderr
    assert process("--sed", "1", "red", cwd=tmp_path).returncode == 2
