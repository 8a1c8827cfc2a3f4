"""The network of FID: Inception v3 as TensorFlow trained it in 2015, with its weights as PyTorch keeps them.

It differs from the usual Inception v3 (Szegedy et al. 2016) in four kinds of blocks: the average pooling of
5b to 5d, of 6b to 6e and of 7b leaves the padding out of the average, and 7c pools the maximum.
"""

import pickle
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runtime.errors import EncoderError
from runtime.files.source import open_source

SIDE, WIDTH = 299, 2048  # pixels of a side that it reads, features that it gives
UNUSED = ("fc.", "AuxLogits.")  # the classifiers, which FID has no use for

AVERAGE, MAXIMUM, REDUCE = "average", "maximum", "reduce"
Kernel = int | tuple[int, int]
# A unit's name, or a pooling's; names in a tuple read the same input, and their outputs are joined.
Step = str | tuple[str, str]


class Unit(nn.Module):
    """A convolution without bias, batch normalisation and ReLU. Its padding keeps the size unless `valid`."""

    def __init__(
        self, inputs: int, outputs: int, kernel: Kernel = 1, *, stride: int = 1, valid: bool = False
    ) -> None:
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (0, 0) if valid or stride > 1 else (sides[0] // 2, sides[1] // 2)
        self.conv = nn.Conv2d(inputs, outputs, sides, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Block(nn.Module):
    """Paths through `units` from one input, whose outputs are joined by channel."""

    def __init__(self, units: dict[str, Unit], paths: Sequence[Sequence[Step]]) -> None:
        super().__init__()
        for name, unit in units.items():
            self.add_module(name, unit)
        self._paths = paths

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self._walk(path, x) for path in self._paths], 1)

    def _walk(self, path: Sequence[Step], x: Tensor) -> Tensor:
        for step in path:
            x = (
                self._step(step, x)
                if isinstance(step, str)
                else torch.cat([self._step(s, x) for s in step], 1)
            )
        return x

    def _step(self, name: str, x: Tensor) -> Tensor:
        if name == AVERAGE:
            return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        if name in (MAXIMUM, REDUCE):
            return F.max_pool2d(x, 3, *((1, 1) if name == MAXIMUM else (2, 0)))
        unit: Tensor = self.get_submodule(name)(x)
        return unit


def _fives(inputs: int, pooled: int) -> Block:
    """Make one of 5b to 5d, whose pooled path has `pooled` channels."""
    units = {
        "branch1x1": Unit(inputs, 64),
        "branch5x5_1": Unit(inputs, 48),
        "branch5x5_2": Unit(48, 64, 5),
        "branch3x3dbl_1": Unit(inputs, 64),
        "branch3x3dbl_2": Unit(64, 96, 3),
        "branch3x3dbl_3": Unit(96, 96, 3),
        "branch_pool": Unit(inputs, pooled),
    }
    fives, threes = ("branch5x5_1", "branch5x5_2"), [f"branch3x3dbl_{i}" for i in (1, 2, 3)]
    return Block(units, [("branch1x1",), fives, threes, (AVERAGE, "branch_pool")])


def _to_sixes(inputs: int) -> Block:
    units = {
        "branch3x3": Unit(inputs, 384, 3, stride=2),
        "branch3x3dbl_1": Unit(inputs, 64),
        "branch3x3dbl_2": Unit(64, 96, 3),
        "branch3x3dbl_3": Unit(96, 96, 3, stride=2),
    }
    return Block(units, [("branch3x3",), [f"branch3x3dbl_{i}" for i in (1, 2, 3)], (REDUCE,)])


def _sixes(inputs: int, inner: int) -> Block:
    """Make one of 6b to 6e, whose long kernels have `inner` channels."""
    wide, tall = (1, 7), (7, 1)
    units = {
        "branch1x1": Unit(inputs, 192),
        "branch7x7_1": Unit(inputs, inner),
        "branch7x7_2": Unit(inner, inner, wide),
        "branch7x7_3": Unit(inner, 192, tall),
        "branch7x7dbl_1": Unit(inputs, inner),
        "branch7x7dbl_2": Unit(inner, inner, tall),
        "branch7x7dbl_3": Unit(inner, inner, wide),
        "branch7x7dbl_4": Unit(inner, inner, tall),
        "branch7x7dbl_5": Unit(inner, 192, wide),
        "branch_pool": Unit(inputs, 192),
    }
    once, twice = [f"branch7x7_{i}" for i in range(1, 4)], [f"branch7x7dbl_{i}" for i in range(1, 6)]
    return Block(units, [("branch1x1",), once, twice, (AVERAGE, "branch_pool")])


def _to_sevens(inputs: int) -> Block:
    units = {
        "branch3x3_1": Unit(inputs, 192),
        "branch3x3_2": Unit(192, 320, 3, stride=2),
        "branch7x7x3_1": Unit(inputs, 192),
        "branch7x7x3_2": Unit(192, 192, (1, 7)),
        "branch7x7x3_3": Unit(192, 192, (7, 1)),
        "branch7x7x3_4": Unit(192, 192, 3, stride=2),
    }
    threes, sevens = ("branch3x3_1", "branch3x3_2"), [f"branch7x7x3_{i}" for i in range(1, 5)]
    return Block(units, [threes, sevens, (REDUCE,)])


def _sevens(inputs: int, pooling: str) -> Block:
    """Make 7b or 7c, whose last path begins with `pooling`."""
    wide, tall = (1, 3), (3, 1)
    units = {
        "branch1x1": Unit(inputs, 320),
        "branch3x3_1": Unit(inputs, 384),
        "branch3x3_2a": Unit(384, 384, wide),
        "branch3x3_2b": Unit(384, 384, tall),
        "branch3x3dbl_1": Unit(inputs, 448),
        "branch3x3dbl_2": Unit(448, 384, 3),
        "branch3x3dbl_3a": Unit(384, 384, wide),
        "branch3x3dbl_3b": Unit(384, 384, tall),
        "branch_pool": Unit(inputs, 192),
    }
    once: list[Step] = ["branch3x3_1", ("branch3x3_2a", "branch3x3_2b")]
    twice: list[Step] = ["branch3x3dbl_1", "branch3x3dbl_2", ("branch3x3dbl_3a", "branch3x3dbl_3b")]
    return Block(units, [("branch1x1",), once, twice, (pooling, "branch_pool")])


class Inception(nn.Module):
    """Pictures [B, 3, 299, 299] of 0 to 255 to features [B, 2048]. Names are those of the weights' file."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Unit(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Unit(32, 32, 3, valid=True)
        self.Conv2d_2b_3x3 = Unit(32, 64, 3)
        self.Conv2d_3b_1x1 = Unit(64, 80)
        self.Conv2d_4a_3x3 = Unit(80, 192, 3, valid=True)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _fives(192, 32), _fives(256, 64), _fives(288, 64)
        self.Mixed_6a = _to_sixes(288)
        self.Mixed_6b, self.Mixed_6c = _sixes(768, 128), _sixes(768, 160)
        self.Mixed_6d, self.Mixed_6e = _sixes(768, 160), _sixes(768, 192)
        self.Mixed_7a = _to_sevens(768)
        self.Mixed_7b, self.Mixed_7c = _sevens(1280, AVERAGE), _sevens(2048, MAXIMUM)

    def forward(self, x: Tensor) -> Tensor:
        x = x / 127.5 - 1
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(F.max_pool2d(x, 3, 2))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        return torch.as_tensor(self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))).mean((2, 3))


def read_inception(path: Path) -> Inception:
    """Read `pt_inception-2015-12-05-6726825d.pth`, or other weights of this network; no code in it is run.

    Raises EncoderError for a file that cannot be read so, or that holds another network.
    """
    try:
        with open_source(path) as file:
            found = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, LookupError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise EncoderError(
            f"--inception {path} cannot be read as weights ({reason}); give "
            "pt_inception-2015-12-05-6726825d.pth"
        ) from error
    network = Inception()
    wanted = {name: t.shape for name, t in network.state_dict().items() if not name.endswith("_tracked")}
    weights = _tensors(found)
    wrong = [name for name, shape in wanted.items() if name not in weights or weights[name].shape != shape]
    more = [name for name in weights if name not in wanted]
    if wrong or more:
        names = ", ".join([*wrong, *more][:3])
        raise EncoderError(
            f"--inception {path} is not FID's network: {len(wrong)} tensors are missing or of another shape, "
            f"and {len(more)} are not known ({names}); give pt_inception-2015-12-05-6726825d.pth"
        )
    network.load_state_dict(weights, strict=False)
    return network.eval().requires_grad_(False)


def _tensors(found: object) -> dict[str, Tensor]:
    """Return the tensors that features need by name; empty for what holds none."""
    if not isinstance(found, dict):
        return {}
    return {
        name: tensor
        for name, tensor in found.items()
        if isinstance(name, str)
        and isinstance(tensor, Tensor)
        and not name.startswith(UNUSED)
        and not name.endswith("num_batches_tracked")
    }
