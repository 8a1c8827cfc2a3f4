"""The extras of this distribution that commands need, and the modules that each one brings."""

from importlib.util import find_spec

from runtime.errors import EnvironmentMismatch

_BUILD = (
    *("accelerate", "diffusers", "onnx", "onnx_ir", "onnxscript"),
    *("safetensors", "torch", "transformers"),
)
_EVAL = (*_BUILD, "jinja2", "matplotlib")
EXTRAS = {
    "build": _BUILD,
    "eval": _EVAL,
    "train": (*_EVAL, "ot", "tensorboard"),
    "adam8bit": ("bitsandbytes",),
}


def check_installed(extra: str, command: str) -> None:
    """Check that `command` finds every module of `extra`; import none. Raises `EnvironmentMismatch`."""
    if missing := [name for name in EXTRAS[extra] if find_spec(name) is None]:
        raise EnvironmentMismatch(
            f"{command} needs {', '.join(missing)}; install with `pip install 'aptp[{extra}]'`"
        )
