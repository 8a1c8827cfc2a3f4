"""The gain of 8-bit integers for an expert under ONNX Runtime's CPU provider: speed and error.

    python -m bench.int8 --bundle sd21/bundle --codes 0

ONNX Runtime's own dynamic quantization of every product with weights, per channel; convolutions stay float32.
The error is against the float32 graph on the same inputs, as the ladder measures reduced precision. The two
take turns.
"""

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from onnxruntime.quantization import QuantType, quantize_dynamic

from bench.report import save, spread
from runtime.bundle.reader import Bundle
from runtime.cli.parser import Parser, run
from runtime.engines.providers import onnxruntime
from runtime.models.cache import Cache

WARM, PRODUCTS = 1, ["MatMul", "Gemm"]


def opened(graph: Path, sides: tuple[int, int]) -> Any:
    options = onnxruntime().SessionOptions()
    for name, size in (("batch", 1), ("height", sides[0]), ("width", sides[1])):
        options.add_free_dimension_override_by_name(name, size)
    return onnxruntime().InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def feeds(session: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    made = {
        node.name: rng.standard_normal([int(size) for size in node.shape], np.float32)
        for node in session.get_inputs()
    }
    return made


def measured(graph: Path, sides: tuple[int, int], rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        small = Path(scratch) / "int8.onnx"
        quantize_dynamic(
            graph,
            small,
            op_types_to_quantize=PRODUCTS,
            per_channel=True,
            weight_type=QuantType.QInt8,
            use_external_data_format=True,
            extra_options={"MatMulConstBOnly": True},
        )
        sessions = {"float32": opened(graph, sides), "int8": opened(small, sides)}
        inputs = feeds(sessions["float32"])
        exact, found = (session.run(None, inputs)[0] for session in sessions.values())
        times: dict[str, list[float]] = {name: [] for name in sessions}
        for _ in range(WARM + rounds):
            for name, session in sessions.items():
                start = time.perf_counter()
                session.run(None, inputs)
                times[name].append(time.perf_counter() - start)
    error = float(np.sqrt(np.square(found - exact).mean() / np.square(exact).mean()))
    return {"error": error, **{name: each[WARM:] for name, each in times.items()}}


def main() -> None:
    parser = Parser(prog="python -m bench.int8", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("bundle"))
    parser.add_argument("--codes", default="0")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    bundle, cache, rows, samples = Bundle.open(arguments.bundle), Cache(), [], {}
    latent = bundle.manifest.latent
    for code in arguments.codes.split(","):
        graph = cache.serving_graph(bundle, bundle.manifest.experts[code].model)
        found = measured(graph, (latent.height, latent.width), arguments.rounds)
        ratio = median(a / b for a, b in zip(found["float32"], found["int8"], strict=True))
        samples[code] = found
        rows.append(
            {
                "expert": code,
                "float32": spread(found["float32"]),
                "int8 products": spread(found["int8"]),
                "speed-up": f"{ratio:.2f}",
                "error": f"{found['error']:.4f}",
            }
        )
    save("int8", "8-bit integer products under the CPU provider", {"One UNet call": rows}, samples)


if __name__ == "__main__":
    run(main)
