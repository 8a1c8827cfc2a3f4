"""The gain of eight bits in time: a UNet call in int8 beside float32, and bfloat16 where there is any.

    python -m bench.int8_speed --bundle bundle --codes 0,dense [--rounds 15]

OpenVINO runs all of them, ONNX Runtime's CPU provider float32 as well; all take turns. Two rows, as guidance
makes of one image, at the bundle's own size.
"""

import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.report import save, spread
from runtime.bundle.earned import INT8
from runtime.bundle.reader import Bundle
from runtime.cli.parser import Parser, run
from runtime.engines import openvino
from runtime.engines.session import open_session
from runtime.errors import UsageError
from runtime.models.cache import Cache

ROWS, WARM = 2, 2


def opened(bundle: Bundle, code: str) -> dict[str, Any]:
    """Open an expert's graphs by name of what computes them. Raises UsageError for one without int8."""
    expert, latent = bundle.manifest.experts[code], bundle.manifest.latent
    if expert.int8 is None:
        raise UsageError(
            f"expert {code!r} of {bundle.root} has no eight bits; build it with --precision {INT8}"
        )
    sides = {"batch": ROWS, "height": latent.height, "width": latent.width}
    serving, quantized = Cache().serving_graph(bundle, expert.model), bundle.model(expert.int8)[0]
    found: dict[str, Any] = {"cpu float32": open_session(serving, "cpu", overrides=sides)}
    for precision in ("float32", "bfloat16"):
        if openvino.computes_in(precision):
            found[precision] = openvino.open_model(serving, overrides=sides, precision=precision)
    return {**found, INT8: openvino.open_model(quantized, overrides=sides, precision=INT8)}


def feeds(bundle: Bundle, code: str) -> dict[str, Any]:
    """Draw inputs: times do not depend on what they are."""
    random, latent, manifest = np.random.default_rng(0), bundle.manifest.latent, bundle.manifest
    clock = open_session(bundle.model(manifest.experts[code].clock)[0], "cpu")
    embedding = clock.run("time_embedding", {"timestep": np.full(ROWS, 500, np.float32)})
    encoders = {entry.input: manifest.encoders[entry.encoder] for entry in manifest.conditioning}
    given = {}
    for name, encoder in encoders.items():
        session = open_session(Cache().serving_graph(bundle, encoder.model), "cpu")
        ids = np.full((1, encoder.tokenizer.length), encoder.tokenizer.pad, np.int64)
        one = session.run(encoder.output, {key: np.maximum(ids, 1) for key in encoder.inputs})
        given[name] = np.repeat(one, ROWS, 0)
    sample = random.standard_normal((ROWS, latent.channels, latent.height, latent.width), np.float32)
    return {"sample": sample, "time_embedding": embedding, **given}


def measured(bundle: Bundle, code: str, rounds: int) -> dict[str, list[float]]:
    graphs, inputs = opened(bundle, code), feeds(bundle, code)
    times: dict[str, list[float]] = {name: [] for name in graphs}
    for _ in range(WARM + rounds):
        for name, graph in graphs.items():
            start = time.perf_counter()
            graph.run("out_sample", inputs)
            times[name].append(time.perf_counter() - start)
    return {name: each[WARM:] for name, each in times.items()}


def main() -> None:
    parser = Parser(prog="python -m bench.int8_speed", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("bundle"))
    parser.add_argument("--codes", default="0")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    bundle, rows, samples = Bundle.open(arguments.bundle), [], {}
    for code in arguments.codes.split(","):
        samples[code] = found = measured(bundle, code, arguments.rounds)
        for name, times in found.items():
            gain = median(a / b for a, b in zip(times, found[INT8], strict=True))
            rows.append(
                {"expert": code, "computes in": name, "a call": spread(times), "int8 is": f"{gain:.2f} ×"}
            )
    save("int8_speed", "A UNet call in eight bits", {"Two rows": rows}, samples)


if __name__ == "__main__":
    run(main)
