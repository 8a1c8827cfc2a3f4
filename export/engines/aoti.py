"""AOTInductor packages: a UNet compiled by PyTorch for this processor or GPU, ahead of time.

The package computes in one precision and takes and gives float32. Refuses to work without a C++ compiler.
"""

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from runtime.bundle.schema import Range
from runtime.errors import Refused

FILE = "aoti.pt2"
# diffusers copies to contiguous memory from this batch on, which is a branch the tracer has to exclude.
_MOST_ROWS = 63
# On CPUs weights are laid out once for the products that read them, not again at every call: 7 to 12 % of the
# time of SD 2.1's blocks in bfloat16 on two cores. Searching for faster products found none there.
_SETTINGS: Mapping[str, dict[str, bool]] = {"cpu": {"freezing": True}, "cuda": {}}


class InPrecision(nn.Module):
    """`unet` with its weights in `dtype`, between float32 inputs and a float32 output.

    `gates`, which the supernet takes, stay as they are: 0 and 1 are exact in any precision.

    Weights and activations are cast as a whole, which erred less than autocast did on the default (0.0097
    and 0.0100 of the output, in bfloat16): norms and softmax accumulate in float32 either way.
    """

    def __init__(self, unet: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.unet, self._dtype = unet.to(dtype), dtype

    def forward(
        self,
        sample: Tensor,
        time_embedding: Tensor,
        encoder_hidden_states: Tensor,
        gates: Tensor | None = None,
    ) -> Tensor:
        inputs = [one.to(self._dtype) for one in (sample, time_embedding, encoder_hidden_states)]
        output: Tensor = self.unet(*inputs) if gates is None else self.unet(*inputs, gates)
        return output.float()


def write_package(
    unet: nn.Module, example: Mapping[str, Tensor], wanted: Mapping[str, Any], path: Path
) -> None:
    """Compile `unet` to `path` as `wanted` (`export.engines.manifest_entry`) says.

    `example` has the usual number of rows. Raises Refused.
    """
    device, rows = wanted["target"]["device"], Range(*wanted["profile"]["batch"])
    if device == "cpu":
        _require_compiler(wanted["kind"])
    module = InPrecision(unet, getattr(torch, wanted["precision"])).eval().to(device)
    batch = torch.export.Dim("batch", min=1, max=min(rows.most, _MOST_ROWS))
    shapes = {name: {0: batch} if rows.least < rows.most else None for name in example}
    # Strides are compiled in: rows that an example shares, every call would share.
    inputs = {name: one.to(device).contiguous() for name, one in example.items()}
    with _scratch(), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch about its own internals
        program = torch.export.export(module, (), inputs, dynamic_shapes=shapes)
        torch._inductor.aoti_compile_and_package(
            program, package_path=str(path), inductor_configs=_SETTINGS[device]
        )


def _require_compiler(kind: str) -> None:
    names = (os.environ.get("CXX"), "g++", "clang++")
    if not any(name and shutil.which(name) for name in names):
        raise Refused(f"--engines {kind}: no C++ compiler is here; install g++, or name one in CXX")


@contextmanager
def _scratch() -> Iterator[None]:
    """Give Inductor a cache folder for this compilation only."""
    name = "TORCHINDUCTOR_CACHE_DIR"
    before = os.environ.get(name)
    with tempfile.TemporaryDirectory(prefix="aptp-inductor-") as folder:
        os.environ[name] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ[name]
            else:
                os.environ[name] = before
