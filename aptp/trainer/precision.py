"""The precision of a session's forward passes: autocast, and the scaling of losses that float16 needs."""

from typing import Any

import torch

from runtime.errors import UsageError, nearest

DTYPES = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def check_name(precision: str) -> None:
    """Raise UsageError for a precision that is none."""
    if precision not in DTYPES:
        known = ", ".join(DTYPES)
        raise UsageError(f"--mixed-precision {precision!r}{nearest(precision, DTYPES)}: use one of {known}")


def check_precision(precision: str, device: torch.device) -> None:
    """Raise UsageError for float16 on a processor, as accelerate does."""
    if precision == "fp16" and device.type == "cpu":
        raise UsageError("--mixed-precision fp16 needs a GPU, and there is none here: give bf16 or no")


def warning(precision: str, device: torch.device) -> str | None:
    """Return a line where `device` computes in this precision so slowly that nobody can want it."""
    if precision == "bf16" and device.type == "cpu" and not _has_bfloat16():
        return (
            "this processor computes in bfloat16 ten to two hundred times more slowly than in float32: "
            "give --mixed-precision no"
        )
    return None


def _has_bfloat16() -> bool:
    # oneDNN has bfloat16 from AVX-512 on. Before that, PyTorch falls back to plain loops.
    there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return not there or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def autocast(precision: str, device: torch.device) -> Any:
    """Return the context of forward passes."""
    dtype = DTYPES[precision]
    return torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None)


class LossScaler:
    """A loss scaler for float16, whose small gradients would vanish. With other precisions it does nothing.

    A step whose gradients overflow is left out, and the scale is halved.
    """

    def __init__(self, precision: str, device: torch.device) -> None:
        self._scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")

    @property
    def scale(self) -> float:
        return float(self._scaler.get_scale())

    def scaled(self, loss: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self._scaler.scale(loss)
        return found

    def unscale(self, optimizer: Any) -> None:
        """Undo the scale in the gradients, so that they can be clipped."""
        self._scaler.unscale_(optimizer)

    def step(self, optimizer: Any) -> bool:
        """Take a step, and return whether it was taken."""
        before = self.scale
        self._scaler.step(optimizer)
        self._scaler.update()
        return self.scale >= before

    def state(self) -> dict[str, torch.Tensor]:
        """Return what a resumed session needs; nothing where nothing is scaled."""
        found = self._scaler.state_dict()
        if not found:
            return {}
        return {
            "scale": torch.tensor([found["scale"]]),
            "growth": torch.tensor([found["_growth_tracker"]]),
        }

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        current = self._scaler.state_dict()
        if current and state:
            growth = int(state["growth"])
            self._scaler.load_state_dict(
                {**current, "scale": float(state["scale"]), "_growth_tracker": growth}
            )
