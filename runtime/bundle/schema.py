"""The manifest as frozen values (docs/BUNDLE.md, version 3.0); `manifest` parses them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from runtime.files.verified import FileEntry
from runtime.formats import DENSE as DENSE  # rooms of the runtime import it from here
from runtime.formats import MAX_GUIDANCE

GUIDANCE = MAX_GUIDANCE  # the most that a request may ask for


@dataclass(frozen=True, slots=True)
class BundleSource:
    """Where the weights come from; `trained` is false for random ones."""

    name: str
    checkpoint: str
    trained: bool


@dataclass(frozen=True, slots=True)
class Defaults:
    """The defaults of a request that does not say otherwise."""

    solver: str
    steps: int
    guidance: float


@dataclass(frozen=True, slots=True)
class Latent:
    """Latent geometry; sides are multiples of `multiple`, from `minimum` to `maximum`."""

    channels: int
    height: int
    width: int
    multiple: int
    minimum: int
    maximum: int


@dataclass(frozen=True, slots=True)
class Model:
    """Paths of a graph, of its float16 weights, and of the same graph for float32 weights."""

    graph: str
    identity: str
    weights: str | None = None
    serve: str | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file the model is made of."""
        return tuple(path for path in (self.graph, self.weights, self.serve) if path is not None)


class Range(NamedTuple):
    """The sizes of an axis that an engine takes; it is fastest at `usual`."""

    least: int
    usual: int
    most: int

    def takes(self, size: int) -> bool:
        return self.least <= size <= self.most


@dataclass(frozen=True, slots=True)
class SupernetGates:
    """A code as the supernet takes it: `count` gates, four to a hexadecimal digit, highest bit first."""

    count: int
    bits: str

    @classmethod
    def of(cls, kept: Iterable[bool]) -> "SupernetGates":
        """Return the gates that are kept, 0 in what the last digit has left over."""
        text = "".join(str(int(one)) for one in kept)
        digits = -(-len(text) // 4)
        return cls(len(text), f"{int(text.ljust(4 * digits, '0'), 2):0{digits}x}")

    @property
    def kept(self) -> tuple[int, ...]:
        """1 or 0 for each gate."""
        digits = f"{int(self.bits, 16):0{4 * len(self.bits)}b}"
        return tuple(map(int, digits[: self.count]))


@dataclass(frozen=True, slots=True)
class Compiled:
    """A model compiled for one `target`, such as `{"device": "cuda", "architecture": "sm90"}`.

    `profile` says which `batch` (rows) and which `height` and `width` (of latents) it takes.
    """

    kind: str
    file: str
    precision: str
    profile: Mapping[str, Range]
    target: Mapping[str, str]
    identity: str


@dataclass(frozen=True, slots=True)
class TokenizerEntry:
    """A tokenizer file and the frame its ids are put into, `length` tokens long.

    `characters` is the file of Unicode tables, for readers without the library of that file.
    """

    file: str
    characters: str
    length: int
    bos: int
    eos: int
    pad: int


@dataclass(frozen=True, slots=True)
class EncoderEntry:
    """A prompt encoder; `inputs` are the tensors it takes, `output` the one that is used."""

    name: str
    model: Model
    inputs: tuple[str, ...]
    output: str
    tokenizer: TokenizerEntry


@dataclass(frozen=True, slots=True)
class Conditioning:
    """A UNet input, and the encoder whose output it gets."""

    input: str
    encoder: str


@dataclass(frozen=True, slots=True)
class OutOfDistribution:
    """Prompts whose distance from those of the training is above `threshold` go to `expert`."""

    threshold: float
    expert: str


@dataclass(frozen=True, slots=True)
class RouterEntry:
    """Similarities of a prompt to `codes` codes; `fallback` names the expert for a code without one,
    `out_of_distribution` that of prompts unlike those of the training.
    """

    kind: str
    encoder: str
    model: Model
    codes: int
    tie: float
    fallback: str | None
    out_of_distribution: OutOfDistribution | None = None


@dataclass(frozen=True, slots=True)
class Decoder:
    """Latents to images, `scale` pixels per latent.

    `preview`: a row for red, green and blue each, of what they take of every channel of a latent, and what is
    added.
    """

    model: Model
    scale: int
    scaling_factor: float
    shift_factor: float
    preview: tuple[tuple[float, ...], ...] | None = None


@dataclass(frozen=True, slots=True)
class ImageComparison:
    """A comparison of `images` with float32's by a `metric`: the mean paired `difference`, and the ends of
    its 95 % interval, of which `low` lies above `bar`.
    """

    metric: str
    images: int
    difference: float
    low: float
    high: float
    bar: float


@dataclass(frozen=True, slots=True)
class Earned:
    """A reduced `precision` in which an `engine` may compute on a class of `processor`.

    `rung` is empty where it was shown close to float32, else what images showed. Entries are equal whatever
    their rung.
    """

    engine: str
    precision: str
    processor: str
    rung: tuple[ImageComparison, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Expert:
    """One UNet: `parameters`, and `macs` of one call at the default size.

    `clock` gives the time embedding that `model.serve` takes. `earned` are the reduced precisions in which
    engines may run the graph; all others use float32. `compiled` holds what was made of the graph for
    particular machines; `gates` is the code under which the supernet is this expert. `int8` is the expert in
    eight bits, an OpenVINO IR with the inputs of `model.serve`.
    """

    model: Model
    clock: Model
    parameters: int
    macs: int
    earned: tuple[Earned, ...] = ()
    compiled: tuple[Compiled, ...] = ()
    gates: SupernetGates | None = None
    int8: Model | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """A solver's table; `rows[n - 1]` rows for n steps, 0 where n is not offered."""

    table: str
    window: int
    rows: tuple[int, ...]
    noise_scale: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole manifest, every reference in it resolved. `dense_macs`: as an expert's, of what was pruned."""

    version: str
    producer: Mapping[str, str]
    source: BundleSource
    defaults: Defaults
    latent: Latent
    encoders: Mapping[str, EncoderEntry]
    conditioning: tuple[Conditioning, ...]
    router: RouterEntry
    decoder: Decoder
    dense_macs: int
    experts: Mapping[str, Expert]
    schedules: Mapping[str, Schedule]
    files: Mapping[str, FileEntry]

    def share(self, expert: str) -> float:
        """Return the cost of an expert's call as a share of the dense UNet's, in MACs. Raises `KeyError` for
        no expert.
        """
        return self.experts[expert].macs / self.dense_macs
