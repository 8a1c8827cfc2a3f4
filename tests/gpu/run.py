"""`make gpu`: runs one part of the GPU work, or says that there is no GPU and leaves it at that.

The parts that measure SD 2.1 first make its bundle, with random weights in the true geometry: cost is real,
images are not. Made once, it is found again; what is measured fits into eight minutes.
"""

import os
import subprocess
import sys
from importlib.util import find_spec

Command = list[str]

PYTEST = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "--timeout", "480"]
CHECKPOINT, BUNDLE = "sd21/checkpoint", "sd21/bundle"
PEERS = "compile-bfloat16,compile-bfloat16-graphs,diffusers-bfloat16,optimum"


def module(name: str, *arguments: str) -> Command:
    return [sys.executable, "-m", name, *arguments]


def measured(name: str, codes: str, *arguments: str) -> list[Command]:
    """The commands that make SD 2.1's bundle where it is missing, and measure it into bench/results."""
    make = [] if os.path.exists(f"{CHECKPOINT}/aptp.json") else [SD21]
    engines = "onnx,aoti" + (",tensorrt" if find_spec("tensorrt") else "")
    build = ["--checkpoint", CHECKPOINT, "--codes", codes, "--engines", engines, "--out", BUNDLE]
    out = ["--out", f"bench/results/gpu-{name}", "--overwrite"]
    bench = ["--bundle", BUNDLE, "--codes", codes, "--minutes", "7.5", *out, *arguments]
    return [*make, module("export.build", *build), module("runtime.bench", *bench)]


SD21 = module("aptp.new", "--preset", "sd21", "--size", "512x512", "--out", CHECKPOINT)
PARTS = {
    "tests": [[*PYTEST, "tests/gpu"]],
    "kernels": [
        [*PYTEST, "tests/gpu/attention", "tests/gpu/test_supernet_cuda.py"],
        module("bench.kernels"),
    ],
    "dense": measured(
        *("dense", "dense", "--engines", "all", "--levels", "step,opening", "--rows", "1,4,16"),
        *("--peers", PEERS, "--checkpoint", CHECKPOINT, "--device", "cuda"),
    ),
    "experts": measured(
        *("experts", "all,dense", "--engines", "aoti", "--levels", "step,opening", "--rows", "1,4,16"),
    ),
    "mixture": measured(
        *("mixture", "all,dense", "--engines", "aoti", "--levels", "parts"),
        *("--prompts", "docs/prompts.txt", "--batch", "8"),
    ),
}


def main() -> int:
    part = sys.argv[1] if len(sys.argv) > 1 else "tests"
    if part not in PARTS:
        sys.stderr.write(f"unknown PART '{part}'; choose from {', '.join(PARTS)}\n")
        return 2
    import torch

    if not torch.cuda.is_available():
        sys.stdout.write("No NVIDIA GPU here: nothing to run.\n")
        return 0
    sys.stdout.write(f"{torch.cuda.get_device_name()}, torch {torch.__version__}\n")
    return run(PARTS[part])


def run(commands: list[Command]) -> int:
    """1 if one fails, after which no other runs: nothing is measured of what failed its tests. Else 0."""
    compiled = {**os.environ, "TRITON_INTERPRET": "0"}
    for command in commands:
        code = subprocess.run(command, check=False, env=compiled).returncode
        if code != 0:  # negative if a signal ended it
            sys.stderr.write(f"stopped: {' '.join(command[1:])} ended with {code}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
