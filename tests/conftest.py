"""Kernels run in Triton's interpreter, on CPU tensors, unless the environment says otherwise.

Triton decides when it is imported, and diffusers imports it, so this must come before any test module.
`make gpu` sets TRITON_INTERPRET=0.
"""

import os

os.environ.setdefault("TRITON_INTERPRET", "1")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # for tests that import onnxruntime themselves
