"""The same pixels in C++ as in Python: for every solver, alone and in a crowd, whatever was asked for."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import Pipeline, errors
from tests.bundles import edit
from tests.checkpoints import copy_bundle
from tests.cpp.drawing import Asked, Draw, assert_agree, drawn_by_python

pytestmark = pytest.mark.timeout(600)

PROMPTS = [
    "a red circle",
    "three yellow stars",
    "the word hello in cyan letters",
    "a large blue square left of a small green triangle",
    "",
    "two purple crosses and a white ring on black",
]


@pytest.mark.parametrize("solver", ["ddim", "dpmpp_2m", "euler", "pndm", "unipc"])
def test_every_solver_alone(solver: str, draw: Draw, bundle: Path, cache: Path) -> None:
    request = {"prompt": PROMPTS[0], "solver": solver, "steps": 9, "seed": 7}
    assert_agree(draw, bundle, cache, [request], batch=1)
    assert_agree(draw, bundle, cache, [request])


def test_all_solvers_in_one_crowd(draw: Draw, bundle: Path, cache: Path) -> None:
    solvers = ["ddim", "dpmpp_2m", "euler", "pndm", "unipc"]
    requests = [
        {
            "prompt": PROMPTS[index % len(PROMPTS)],
            "solver": solvers[index % len(solvers)],
            "steps": 3 + index % 7,
            "guidance": [2.0, 1.0, 7.5][index % 3],
            "negative_prompt": ["", "a green square"][index % 2],
            "seed": 2**64 - 1 - index,
        }
        for index in range(20)
    ]
    assert_agree(draw, bundle, cache, requests)


def test_the_defaults(draw: Draw, bundle: Path, cache: Path) -> None:
    assert_agree(draw, bundle, cache, [{"prompt": prompt} for prompt in PROMPTS])


def test_sizes(draw: Draw, bundle: Path, cache: Path) -> None:
    sizes = [(32, 32), (48, 80), (128, 64)]
    requests = [
        {"prompt": PROMPTS[1], "steps": 4, "height": height, "width": width} for height, width in sizes
    ]
    assert_agree(draw, bundle, cache, requests)


def test_a_code_that_the_caller_asks_for(draw: Draw, bundle: Path, cache: Path) -> None:
    requests = [{"prompt": PROMPTS[0], "steps": 4, "code": str(code)} for code in range(4)]
    assert_agree(draw, bundle, cache, requests)


def test_start_latents(draw: Draw, bundle: Path, cache: Path, tmp_path: Path) -> None:
    latents = np.random.default_rng(5).normal(size=(4, 12, 20)).astype(np.float32)
    latents.tofile(tmp_path / "latents")
    request = {"prompt": PROMPTS[3], "steps": 4, "latents": str(tmp_path / "latents"), "shape": [4, 12, 20]}
    assert_agree(draw, bundle, cache, [request])


def test_a_missing_expert_falls_back_to_dense(draw: Draw, mini: Path, cache: Path, tmp_path: Path) -> None:
    bundle = copy_bundle(mini, tmp_path)

    def leave_dense(manifest: dict[str, Any]) -> None:
        manifest["experts"] = {"dense": manifest["experts"]["dense"]}

    edit(bundle, leave_dense)
    requests: list[Asked] = [{"prompt": prompt, "steps": 3} for prompt in PROMPTS[:3]]
    requests.append({"prompt": "", "steps": 3, "code": "dense"})
    assert_agree(draw, bundle, cache, requests)
    (told,) = draw(bundle, [{"prompt": "a", "steps": 2}])
    assert told["fell_back"]


REFUSED: list[tuple[Asked, str]] = [
    ({"solver": "ddin"}, "UsageError"),
    ({"steps": 0}, "UsageError"),
    ({"steps": 100_000}, "UsageError"),
    ({"guidance": -1.5}, "UsageError"),
    ({"guidance": 1000.5}, "UsageError"),
    ({"height": 30, "width": 64}, "UsageError"),
    ({"height": 64, "width": 4096}, "UsageError"),
    ({"code": "4"}, "UsageError"),
    ({"code": "dense"}, "CodeUnavailable"),
    ({"prompt": "a" * 10_001}, "UsageError"),
]
STATUS = {2: "UsageError", 7: "CodeUnavailable"}


@pytest.mark.parametrize(("asked", "name"), REFUSED)
def test_what_is_refused(asked: Asked, name: str, draw: Draw, bundle: Path, cache: Path) -> None:
    request = {"prompt": "a", **asked}
    (expected,) = drawn_by_python(bundle, cache, [request])
    (told,) = draw(bundle, [request])
    assert isinstance(expected, getattr(errors, name))
    assert STATUS[told["status"]] == name
    assert told["error"] == str(expected)


def test_prompts_go_where_python_sends_them(
    program: Callable[[str], Path], bundle: Path, cache: Path
) -> None:
    words = [
        "a",
        "two",
        "red",
        "blue",
        "circle",
        "squares",
        "left of",
        "the word",
        "hello",
        "Übergröße",
        "星",
    ]
    rng = np.random.default_rng(0)
    prompts = [" ".join(rng.choice(words, size=rng.integers(1, 30))) for _ in range(200)] + PROMPTS
    done = subprocess.run(
        [program("routes"), bundle, cache],
        input=json.dumps(prompts),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    with Pipeline.open(bundle, engine="cpu", cache=cache) as pipeline:
        expected = pipeline.route(prompts)
    assert [(one["code"], one["margin"], one["distance"]) for one in told] == [
        (route.code, route.margin, route.distance) for route in expected
    ]
    assert len({one["code"] for one in told}) > 1
