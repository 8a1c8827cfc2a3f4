"""The refusals, before anything is launched: one rule, one error, one test."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from kernels.attention import op
from kernels.attention.op import gated_attention
from tests.kernels.attention.problems import problem


def arguments() -> dict[str, Any]:
    given = problem(4, 6, lengths=[6, 3])
    return {"q": given.q, "k": given.k, "v": given.v, "gates": given.gates, "lengths": given.lengths}


FAR = (0, 0, 2**30, 1)

REFUSED: dict[str, tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "rank": ("must be .B, H, N, D", lambda a: {"q": a["q"][0, 0]}),
    "no rows": ("none of them 0", lambda a: {"q": a["q"][:, :, :0]}),
    "head dim": ("k has head dim 33", lambda a: {"k": torch.zeros(2, 2, 6, 33)}),
    "head dims differ": ("v has head dim 40", lambda a: {"v": torch.zeros(2, 2, 6, 40)}),
    "dtypes differ": ("k is torch.float16", lambda a: {"k": a["k"].half()}),
    "integers": ("supported are float16", lambda a: {x: a[x].int() for x in "qkv"}),
    "device": ("supported are NVIDIA", lambda a: {x: y.to("meta") for x, y in a.items()}),
    "strided head dim": ("stride 2 along D", lambda a: {"q": torch.zeros(2, 2, 4, 64)[..., ::2]}),
    "too far": ("2³¹", lambda a: {"q": torch.empty_strided((2, 2, 4, 32), FAR, device="meta")}),
    "samples differ": ("do not fit", lambda a: {"k": a["k"][:1], "v": a["v"][:1]}),
    "lengths of k and v differ": ("k and v in length", lambda a: {"v": a["v"][:, :, :5]}),
    "gates' shape": ("needs .2, 2", lambda a: {"gates": a["gates"][:1]}),
    "gates' dtype": ("must be floats", lambda a: {"gates": a["gates"].int()}),
    "gates' stride": ("along H", lambda a: {"gates": a["gates"].T.contiguous().T}),
    "lengths' shape": ("must be int32 or int64", lambda a: {"lengths": a["lengths"][:1]}),
    "lengths' dtype": ("must be int32 or int64", lambda a: {"lengths": a["lengths"].float()}),
    "lengths' stride": ("lengths have stride", lambda a: {"lengths": torch.ones(4, dtype=torch.int32)[::2]}),
    "scale": ("must be positive", lambda a: {"scale": 0.0}),
    "heads do not divide": ("not .B, N, H·D", lambda a: {"q": torch.zeros(2, 4, 33)}),
    "heads unknown": ("not .B, N, H·D", lambda a: {"q": torch.zeros(2, 4, 64), "gates": torch.ones(2)}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    message, change = REFUSED[case]
    monkeypatch.setattr(op, "_forward", None)  # nothing may run
    given = arguments()
    with pytest.raises(ValueError, match=message):
        gated_attention(**{**given, **change(given)})


def test_gpus_need_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(op, "TRITON", False)
    with torch._subclasses.FakeTensorMode():
        x, gates = torch.empty(1, 2, 4, 32, device="cuda"), torch.empty(1, 2, device="cuda")
        with pytest.raises(ValueError, match="cuda:0, where gated attention needs Triton"):
            gated_attention(x, x, x, gates)


def test_float64_is_for_the_cpu() -> None:
    given = problem(4, 6).wide()
    assert given.attended().dtype == torch.float64
