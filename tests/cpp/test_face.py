"""The C++ face and the C header, as a program of a stranger uses them."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from runtime.api.pipeline import Pipeline
from runtime.engines.choice import ENGINES
from runtime.images.encoding import describe
from runtime.request.params import GenerationParams

INCLUDE = Path(__file__).parents[2] / "cpp" / "include"


def test_all_of_the_face(program: Callable[[str], Path], mini: Path, cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    command = [program("face"), mini, cache, path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout)
    with Pipeline.open(mini, engine="cpu", cache=cache) as pipeline:
        manifest = pipeline.bundle.manifest
        (made,) = pipeline.generate("a red circle", GenerationParams(seed=7, code=1, guidance=2.0))
        (route,) = pipeline.route("a red circle")
    latent = manifest.latent
    assert told["image"].pop("described") == json.loads(json.dumps(describe(made)))
    assert told["image"] == {
        "steps": manifest.defaults.steps,
        "previews": 2,
        "latents": latent.channels * latent.height * latent.width,
        "height": latent.height * manifest.decoder.scale,
        "width": latent.width * manifest.decoder.scale,
        "expert": "1",
        "seed": 7,
        "guidance": 2.0,
    }
    image = Image.open(path)
    assert np.array_equal(np.asarray(image), made.pixels)
    assert json.loads(image.text["aptp"])["prompt"] == "a red circle"  # type: ignore[attr-defined]
    assert told["refusals"] == [
        "usage error",
        "usage error",
        "usage error",
        "deadline exceeded",
        "enough",
        "not a bundle",
    ]
    assert told["unwritable"] == "output failure"
    assert told["alike"] == 4
    assert told["together"] is True
    engines = told["capabilities"]["engines"]
    assert set(engines) == set(ENGINES) - {"auto"}
    assert engines["cpu"] == ""
    assert (
        "the bundle holds none for expert" in engines["tensorrt"]
        or "APTP_WITH_TENSORRT" in engines["tensorrt"]
    )
    offered = {
        name: [steps for steps, rows in enumerate(entry.rows, 1) if rows]
        for name, entry in manifest.schedules.items()
    }
    assert told["capabilities"]["solvers"] == offered
    assert told["ended"] is True
    assert told["cancelled"] == "cancelled"
    assert told["code"] == route.code
    assert told["experts"] == sorted(manifest.experts)
    assert (told["engine"], told["drained"], told["closed"], told["running"]) == ("cpu", True, "closed", 0)


def test_the_header_is_plain_c() -> None:
    compiler = shutil.which("cc")
    assert compiler is not None
    flags = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c"]
    subprocess.run([compiler, *flags, INCLUDE / "aptp.h"], check=True)


def test_the_library_exports_its_interface_alone(build: Path) -> None:
    command = ["nm", "--dynamic", "--defined-only", build / "libaptp.so"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    names = {line.split()[-1] for line in listed.splitlines()}
    declared = INCLUDE.joinpath("aptp.h").read_text()
    assert names
    assert all(f"{name}(" in declared for name in names)
    assert declared.count("\nAPTP_API ") == len(names)
