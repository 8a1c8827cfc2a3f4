"""`make gpu`: runs one part of the GPU work, or says that there is no GPU and leaves it at that."""

import os
import subprocess
import sys

PYTEST = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "--timeout", "480"]
PARTS = {
    "tests": [[*PYTEST, "tests/gpu"]],
    "kernels": [
        [*PYTEST, "tests/gpu/test_attention_cuda.py", "tests/gpu/test_supernet_cuda.py"],
        [sys.executable, "-m", "bench.kernels"],
    ],
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
    compiled = {**os.environ, "TRITON_INTERPRET": "0"}
    return max(subprocess.run(command, check=False, env=compiled).returncode for command in PARTS[part])


if __name__ == "__main__":
    sys.exit(main())
