"""Measurements of this project, and of its peers."""

import os

# Some benchmarks and peers import onnxruntime themselves; it reads this once, when it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
