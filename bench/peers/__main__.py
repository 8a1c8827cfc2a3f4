"""`python -m bench.peers KIND`: serves one peer on standard input and output."""

import sys
from importlib import import_module

from bench.peers.protocol import serve

KINDS = ("eager", "compiled", "openvino_native", "optimum_ort", "stable_diffusion_cpp")

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in KINDS:
        sys.exit(f"usage: python -m bench.peers {'|'.join(KINDS)}")
    # Their packages are imported when a model is loaded, so that what is missing is an answer, not a crash.
    serve(import_module(f"bench.peers.{sys.argv[1]}").Peer())
