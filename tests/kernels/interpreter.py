"""Triton's interpreter (3.6, 3.7), made fit for these tests: what it lacks, each with where that is known.

Nothing here touches what a kernel computes on a GPU.
"""

import numpy as np
import pytest
import torch
import triton.language as tl
from triton.runtime import interpreter


def repair(patch: pytest.MonkeyPatch) -> None:
    _index_with_one_element(patch)
    _bfloat16(patch)
    _patch_languages_once(patch)


def _index_with_one_element(patch: pytest.MonkeyPatch) -> None:
    """NumPy 2.4 no longer turns arrays of one element into numbers (triton-lang/triton#9171)."""
    original = interpreter._patch_lang_tensor

    def patched(tensor: type, scope: interpreter._LangPatchScope) -> None:
        original(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: self.handle.data.item())

    patch.setattr(interpreter, "_patch_lang_tensor", patched)


def _bfloat16(patch: pytest.MonkeyPatch) -> None:
    """It multiplies the bit patterns (#11584), and rounds towards zero where GPUs round to nearest."""
    builder, handle = interpreter.InterpreterBuilder, interpreter.TensorHandle
    dot, cast = builder.create_dot, builder.cast_impl

    def widened(x: interpreter.TensorHandle) -> interpreter.TensorHandle:
        if x.dtype.scalar != tl.bfloat16:
            return x
        return handle((x.data.astype(np.uint32) << 16).view(np.float32), tl.float32)

    def create_dot(self, a, b, total, precision, imprecise):  # type: ignore[no-untyped-def]
        return dot(self, widened(a), widened(b), total, precision, imprecise)

    def cast_impl(self, x, kind):  # type: ignore[no-untyped-def]
        if x.dtype.scalar == tl.bfloat16:
            return cast(self, widened(x), kind)
        if x.dtype.scalar == tl.float32 and kind.scalar == tl.bfloat16:
            rounded = torch.from_numpy(np.ascontiguousarray(x.data)).bfloat16()
            return handle(rounded.view(torch.uint16).numpy(), tl.bfloat16)
        return cast(self, x, kind)

    patch.setattr(builder, "create_dot", create_dot)
    patch.setattr(builder, "cast_impl", cast_impl)


def _patch_languages_once(patch: pytest.MonkeyPatch) -> None:
    """Every call of one kernel function by another patches `triton.language` anew: half of the time."""
    done = set()

    def call(self, *args, **options):  # type: ignore[no-untyped-def]
        module = self.fn.__module__
        if module.startswith("triton.") and module not in done:
            interpreter._patch_lang(self.fn)
            done.add(module)
        return self.rewrite()(*args, **options)

    patch.setattr(interpreter.InterpretedFunction, "__call__", call)
