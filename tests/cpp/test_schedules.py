"""Trajectories, previews and pixels in C++ have Python's bits, for every solver, without a UNet."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.bundle.reader import Bundle
from runtime.diffusion.noise import normal
from runtime.diffusion.pixels import to_pixels
from runtime.diffusion.preview import picture
from runtime.diffusion.schedule import Solver, Trajectory
from runtime.errors import RuntimeFailure, UsageError
from runtime.request.params import GenerationParams
from tests.bundles import write_bundle
from tests.cpp.answers import ask, disagreements, refusal

Float32 = npt.NDArray[np.float32]


def model(values: Float32, row: int, stream: int) -> Float32:
    """Stands for a UNet: the same few operations as the program's."""
    return normal(row, values.shape, stream) + values * np.float32(0.25)


def walk(bundle: Bundle, asked: dict[str, Any]) -> dict[str, Any]:
    latent = bundle.manifest.latent
    noise = normal(asked["seed"], (latent.channels, latent.height, latent.width))
    asked_for = GenerationParams(solver=asked["solver"], steps=asked["steps"]).resolve(bundle.manifest)
    steps = Solver.load(bundle, asked["solver"]).steps(asked_for)
    trajectory, timesteps = Trajectory(steps, noise), []
    values = np.empty_like(noise)
    while not trajectory.done and (row := trajectory.position) < asked["row"]:
        timesteps.append(trajectory.row.timestep)
        trajectory.write_input(values)
        negative = None if asked["guidance"] == 1 else model(values, row, 1)
        trajectory.advance(model(values, row, 0), negative, asked["guidance"])
    shown = picture(trajectory, bundle.manifest.decoder)
    return {
        "timesteps": timesteps,
        "latents": trajectory.latents.tobytes().hex(),
        "estimate": trajectory.estimate().tobytes().hex(),
        "pixels": to_pixels(trajectory.latents[:3]).tobytes().hex(),
        "preview": None if shown is None else shown.tobytes().hex(),
    }


def verdict(bundle: Bundle, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        return walk(bundle, asked)
    except RuntimeFailure as failure:
        return refusal(failure)


def close(one: str | None, other: str | None) -> bool:
    """Previews may differ by one: a matrix product has no order that the format prescribes."""
    if one is None or other is None:
        return one is other
    colours = [np.frombuffer(bytes.fromhex(text), np.uint8).astype(int) for text in (one, other)]
    return bool(np.abs(colours[0] - colours[1]).max() <= 1)


def test_every_solver_walks_the_same_way(program: Callable[[str], Path], bundle: Path) -> None:
    opened = Bundle.open(bundle)
    asked = [
        {"solver": solver, "steps": steps, "guidance": guidance, "seed": steps, "row": row}
        for solver, schedule in opened.manifest.schedules.items()
        for steps in (1, 2, 3, 7, 25, len(schedule.rows))
        for guidance in (1.0, 7.5, 0.0)
        for row in (1, steps // 2 + 1, 10_000)
    ]
    wanted = [verdict(opened, one) for one in asked]
    found = ask(program("schedules"), map(json.dumps, asked), bundle)
    previews = [
        (one.pop("preview", ""), other.pop("preview", "")) for one, other in zip(wanted, found, strict=True)
    ]
    assert not disagreements(asked, wanted, found)
    assert all(close(one, other) for one, other in previews if one != other)
    assert sum("latents" in one for one in wanted) > 100


def test_steps_that_are_not_offered(program: Callable[[str], Path], bundle: Path) -> None:
    opened = Bundle.open(bundle)
    asked = [
        {"solver": solver, "steps": steps, "guidance": 1.0, "seed": 0, "row": 1}
        for solver in opened.manifest.schedules
        for steps in (-(2**40), -1, 0, 10_001, 2**40)
    ]
    wanted = [verdict(opened, one) for one in asked]
    assert all(one["error"] == "UsageError" for one in wanted)
    assert not disagreements(asked, wanted, ask(program("schedules"), map(json.dumps, asked), bundle))


ASKED: list[dict[str, Any]] = [
    {},
    *({"solver": name} for name in ("ddim", "plms", "ddin", "", "DDIM", "x" * 100, "euler")),
    *({"steps": steps} for steps in (-1, 0, 1, 10, 11, 2**40)),
    *({"guidance": value} for value in (0, 1, 1.0, 2.5, 1000, 1000.5, -0.1, -0.0, 1e308)),
    *({side: value} for side in ("height", "width") for value in (-8, 0, 1, 8, 12, 16, 24, 32, 40, 2**40)),
    *({"code": code} for code in (-1, 0, 1, 2, 3, 4, 2**40, "dense")),
]


def test_requests_are_checked_alike(program: Callable[[str], Path], tmp_path: Path) -> None:
    root = write_bundle(tmp_path / "bundle", experts=["0", "2", "dense"])
    manifest = Bundle.open(root).manifest

    def settle(asked: dict[str, Any]) -> dict[str, Any]:
        manner = {name: asked[name] for name in ("solver", "steps", "guidance", "code") if name in asked}
        scale = manifest.decoder.scale
        size = (
            asked.get("width", manifest.latent.width * scale),
            asked.get("height", manifest.latent.height * scale),
        )
        try:
            params = GenerationParams(size=size, **manner).resolve(manifest)
        except UsageError as failure:
            return {"error": refusal(failure)["error"]}
        if params.expert is not None and params.expert not in manifest.experts:
            return {"error": "CodeUnavailable"}
        names = ("solver", "steps", "guidance", "height", "width")
        return {**{name: params.recorded()[name] for name in names}, "expert": params.expert}

    wanted = [settle(one) for one in ASKED]
    found = ask(program("params"), map(json.dumps, ASKED), root)
    for one in found:
        one.pop("message", None)
    assert not disagreements(ASKED, wanted, found)
    assert 20 < sum("error" in one for one in wanted) < len(ASKED) - 10
