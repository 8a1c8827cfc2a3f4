"""One UNet step: what slicing really saves, and what keeping shapes open costs.

    python -m bench.unet_step --bundle DIR [--size 512x512] [--rounds 7] [--provider auto]

Each expert runs in turns with the dense UNet, both in the bucket the runtime would give them (batch 1).
*Realised* is the measured speed-up over the one that MACs promise: (t_dense / t_expert) · (MACs_expert /
MACs_dense). The first call of each session is a warm-up and not counted.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.report import save, spread
from runtime.bundle.reader import Bundle
from runtime.cache import Cache
from runtime.engines.onnx import open_session
from runtime.engines.providers import best_on_cpu

Step = Callable[[], Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--size", default="512x512", help="pixels")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--provider", default="auto")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--name", default="unet_step", help="name of the report")
    options = parser.parse_args()
    bench = UNetStep(options)
    tables: dict[str, Any] = {f"Experts against dense, provider {bench.provider}": bench.experts()}
    tables["Shapes: written into the graph, pinned at load, or open (expert 0)"] = bench.shapes()
    tables["Native OpenVINO on the same graph"] = bench.native()
    save(options.name, "One UNet step", {k: v for k, v in tables.items() if v}, bench.samples)


class UNetStep:
    """Opens what is compared, runs it in turns, keeps every sample."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.bundle = Bundle.open(options.bundle)
        self.manifest = self.bundle.manifest
        self.cache = Cache(options.cache)
        self.provider = best_on_cpu() if options.provider == "auto" else options.provider
        self.rounds = options.rounds
        scale = self.manifest.decoder.scale
        height, width = (int(side) // scale for side in options.size.split("x"))
        self.pins = {"batch": 1, "height": height, "width": width}
        self.inputs = self._inputs(height, width)
        self.samples: dict[str, list[float]] = {}

    def experts(self) -> list[dict[str, Any]]:
        experts = self.manifest.experts
        rows = []
        for name in [name for name in experts if name != "dense"]:
            times = self._in_turns(
                f"{name} against dense",
                {"dense": self._session("dense", self.pins), name: self._session(name, self.pins)},
            )
            share = experts[name].macs / experts["dense"].macs
            speed = median(times["dense"]) / median(times[name])
            rows.append(
                {
                    "expert": name,
                    "MACs of dense": f"{share:.3f}",
                    "dense": spread(times["dense"]),
                    "expert step": spread(times[name]),
                    "speed-up": f"{speed:.2f}",
                    "realised": f"{speed * share:.2f}",
                }
            )
        return rows

    def shapes(self) -> list[dict[str, Any]]:
        with tempfile.TemporaryDirectory() as folder:
            written = self._written(self._graph("0"), Path(folder))
            steps = {
                "written": self._open(written, {}),
                "pinned": self._session("0", self.pins),
                "batch open": self._session("0", {k: v for k, v in self.pins.items() if k != "batch"}),
                "all open": self._session("0", {}),
            }
            times = self._in_turns("shapes", steps)
        base = median(times["written"])
        return [
            {"shapes": name, "step": spread(found), "to written": f"{median(found) / base:.3f}"}
            for name, found in times.items()
        ]

    def native(self) -> list[dict[str, Any]]:
        """Native OpenVINO takes non-Intel processors too; the plugin for ONNX Runtime does not."""
        rows = []
        for name in self.manifest.experts:
            ours, theirs = self._session(name, self.pins), self._native(name)
            times = self._in_turns(f"native {name}", {"runtime": ours, "native": theirs})
            rows.append(
                {
                    "expert": name,
                    f"runtime ({self.provider})": spread(times["runtime"]),
                    "native OpenVINO": spread(times["native"]),
                    "runtime to native": f"{median(times['runtime']) / median(times['native']):.2f}",
                }
            )
        dense = median(self.samples["native dense: native"])
        for row in rows:
            name = row["expert"]
            share = self.manifest.experts[name].macs / self.manifest.experts["dense"].macs
            row["native realised"] = f"{dense / median(self.samples[f'native {name}: native']) * share:.2f}"
        return rows

    def _in_turns(self, label: str, steps: dict[str, Step]) -> dict[str, list[float]]:
        times: dict[str, list[float]] = {name: [] for name in steps}
        for step in steps.values():
            step()
        for _ in range(self.rounds):
            for name, step in steps.items():
                start = time.perf_counter()
                step()
                times[name].append(time.perf_counter() - start)
        steps.clear()
        gc.collect()
        self.samples.update({f"{label}: {name}": found for name, found in times.items()})
        return times

    def _inputs(self, height: int, width: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        channels = self.manifest.latent.channels
        session = open_session(self._graph("0"), "cpu")
        text = next(i for i in session._session.get_inputs() if i.name == "encoder_hidden_states").shape
        return {
            "sample": rng.standard_normal((1, channels, height, width), np.float32),
            "timestep": np.array([500.0], np.float32),
            "encoder_hidden_states": rng.standard_normal((1, *text[1:]), np.float32),
        }

    def _graph(self, name: str) -> Path:
        return self.cache.serving_graph(self.bundle, self.manifest.experts[name].model)

    def _session(self, name: str, pins: dict[str, int]) -> Step:
        return self._open(self._graph(name), pins)

    def _open(self, graph: Path, pins: dict[str, int]) -> Step:
        session = open_session(graph, self.provider, overrides=pins, precision="fast")
        return lambda: session.run("out_sample", self.inputs)

    def _written(self, graph: Path, folder: Path) -> Path:
        """A copy of the graph whose inputs have numbers for shapes, beside a link to its weights."""
        import onnx

        model = onnx.load(graph, load_external_data=False)
        for value in [*model.graph.input, *model.graph.output]:
            for dimension in value.type.tensor_type.shape.dim:
                if dimension.dim_param:
                    if dimension.dim_param in self.pins:
                        dimension.dim_value = self.pins[dimension.dim_param]
                    else:
                        dimension.Clear()
        del model.graph.value_info[:]
        for weights in graph.parent.glob("*.data"):
            (folder / weights.name).hardlink_to(weights)
        onnx.save(model, folder / "written.onnx")
        return folder / "written.onnx"

    def _native(self, name: str) -> Step:
        import openvino

        core = openvino.Core()
        model = core.read_model(self._graph(name))
        model.reshape({key: list(value.shape) for key, value in self.inputs.items()})
        request = core.compile_model(model, "CPU").create_infer_request()
        return lambda: request.infer(self.inputs)


if __name__ == "__main__":
    main()
