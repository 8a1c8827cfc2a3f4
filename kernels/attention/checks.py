"""Checks of gated attention's arguments: a ValueError says what is wrong and what would be right."""

from torch import Tensor, float64, int32, int64

from kernels.attention.tiles import DTYPES, HEAD_DIMS

FARTHEST = 2**31  # kernels find a head with 64 bits and places inside it with 32


def check(q: Tensor, k: Tensor, v: Tensor, gates: Tensor, lengths: Tensor | None, scale: float) -> None:
    """Check [B, H, N, D] tensors. Looks at no values: that would make the CPU wait for the GPU."""
    for name, x in {"q": q, "k": k, "v": v}.items():
        _check_tensor(name, x, q)
    if k.shape != v.shape or k.shape[:2] != q.shape[:2]:
        shapes = ", ".join(f"{name} {list(x.shape)}" for name, x in {"q": q, "k": k, "v": v}.items())
        raise ValueError(f"{shapes} do not fit: samples and heads must agree, and k and v in length too")
    _check_gates(gates, q)
    if lengths is not None:
        _check_lengths(lengths, q)
    if not scale > 0:
        raise ValueError(f"scale is {scale}; it must be positive")


def split_heads(name: str, x: Tensor, gates: Tensor) -> Tensor:
    """Split [B, N, H·D] into [B, H, N, D], a view; H is that of `gates` [B, H]."""
    heads = gates.shape[1] if gates.ndim == 2 else 0
    if x.ndim != 3 or heads == 0 or x.shape[2] % heads:
        raise ValueError(
            f"{name} {list(x.shape)} is not [B, N, H·D] for the H heads of gates {list(gates.shape)} [B, H]"
        )
    return x.view(*x.shape[:2], heads, x.shape[2] // heads).transpose(1, 2)


def _check_tensor(name: str, x: Tensor, q: Tensor) -> None:
    if x.ndim != 4 or 0 in x.shape:
        raise ValueError(f"{name} is {list(x.shape)}; it must be [B, H, N, D], none of them 0")
    if x.shape[3] not in HEAD_DIMS or x.shape[3] != q.shape[3]:
        known = ", ".join(map(str, HEAD_DIMS))
        raise ValueError(f"{name} has head dim {x.shape[3]}; supported are {known}, the same in q, k and v")
    if x.dtype != q.dtype or x.device != q.device:
        raise ValueError(f"{name} is {x.dtype} on {x.device}, but q is {q.dtype} on {q.device}")
    if x.dtype not in DTYPES and not (x.dtype == float64 and x.device.type == "cpu"):
        known = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
        raise ValueError(f"{name} is {x.dtype} on {x.device}; supported are {known}, and float64 on the CPU")
    if x.stride(3) != 1:
        raise ValueError(f"{name} has stride {x.stride(3)} along D; it must be 1: call .contiguous() first")
    if x.shape[2] * max(x.stride(2), x.shape[1] * x.shape[3]) >= FARTHEST:
        raise ValueError(f"{name}: one head spans {x.shape[2]} rows, more than 2³¹ elements")
    if x.device.type not in ("cpu", "cuda"):
        raise ValueError(f"{name} is on {x.device}; supported are NVIDIA GPUs and the CPU")


def _check_gates(gates: Tensor, q: Tensor) -> None:
    if gates.shape != q.shape[:2]:
        raise ValueError(f"gates are {list(gates.shape)}; q {list(q.shape)} needs {list(q.shape[:2])}")
    if not gates.is_floating_point() or gates.device != q.device:
        raise ValueError(f"gates are {gates.dtype} on {gates.device}; they must be floats on {q.device}")
    if gates.stride(1) != 1 and gates.shape[1] > 1:
        raise ValueError(f"gates have stride {gates.stride(1)} along H; it must be 1")


def _check_lengths(lengths: Tensor, q: Tensor) -> None:
    if lengths.shape != q.shape[:1] or lengths.dtype not in (int32, int64) or lengths.device != q.device:
        raise ValueError(
            f"lengths are {lengths.dtype} {list(lengths.shape)} on {lengths.device}; "
            f"they must be int32 or int64 [{q.shape[0]}] on {q.device}"
        )
    if lengths.stride(0) != 1 and lengths.shape[0] > 1:
        raise ValueError(f"lengths have stride {lengths.stride(0)}; it must be 1")
