"""A stand-in for the `tensorrt` module as its builder's side is documented: it keeps what it was asked for.

It shows that Polygraphy is called as it wants to be, and what becomes of what it reports; of what TensorRT
would make of a graph it knows nothing.
"""

from enum import IntEnum
from types import ModuleType
from typing import Any


class Severity(IntEnum):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class Logger:
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = Severity

    def __init__(self, *rest: Any) -> None:
        self.said: list[str] = []

    def log(self, severity: Severity, message: str) -> None:
        self.said.append(message)


class Flag(IntEnum):
    TF32, STRONGLY_TYPED = range(2)


class Pool(IntEnum):
    WORKSPACE = 0


class DeviceType(IntEnum):
    GPU, DLA = range(2)


class TimingCache:
    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)

    def combine(self, other: "TimingCache", ignore_mismatch: bool) -> bool:
        self.data += other.data
        return True

    def serialize(self) -> Any:
        return memoryview(bytes(self.data))


class Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[Any, ...]] = {}

    def set_shape(self, name: str, *bounds: Any) -> None:
        self.shapes[name] = bounds

    def get_shape(self, name: str) -> tuple[Any, ...]:
        return self.shapes[name]

    def __bool__(self) -> bool:
        return True


class Config:
    """A builder's configuration; attributes are set as on TensorRT's."""

    DLA_core = -1
    default_device_type = DeviceType.GPU
    num_optimization_profiles = 1

    def __init__(self) -> None:
        self.flags: set[Flag] = set()
        self.profiles: list[Profile] = []
        self.cache = TimingCache(b"")
        self.progress_monitor: Any = None

    def set_flag(self, flag: Flag) -> None:
        self.flags.add(flag)

    def get_flag(self, flag: Flag) -> bool:
        return flag in self.flags

    def add_optimization_profile(self, profile: Profile) -> int:
        self.profiles.append(profile)
        return 0

    def create_timing_cache(self, data: bytes) -> TimingCache:
        return TimingCache(data)

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
        self.cache = cache
        return True

    def get_timing_cache(self) -> TimingCache:
        return self.cache


class Input:
    is_shape_tensor, dtype, shape = False, "float32", (-1,)

    def __init__(self, name: str) -> None:
        self.name = name


class Network:
    def __init__(self, flags: int, inputs: list[str]) -> None:
        self.strongly_typed = bool(flags & (1 << Flag.STRONGLY_TYPED))
        self._inputs = [Input(name) for name in inputs]
        self.num_inputs = len(inputs)

    def get_input(self, index: int) -> Input:
        return self._inputs[index]

    def __iter__(self) -> Any:
        return iter(())


class Builders(ModuleType):
    """The module. `refuses` are errors to log in place of a plan, `parses` whether the parser takes the
    graph.
    """

    __version__ = "10.13.3.9"
    NetworkDefinitionCreationFlag = BuilderFlag = Flag
    MemoryPoolType, DeviceType = Pool, DeviceType

    def __init__(self) -> None:
        super().__init__("tensorrt")
        self.reset()
        module = self

        class Builder:
            def __init__(self, logger: Logger) -> None:
                self._logger = logger

            def create_network(self, flags: int = 0) -> Network:
                module.networks.append(Network(flags, module.inputs))
                return module.networks[-1]

            def create_builder_config(self) -> Config:
                module.configs.append(Config())
                return module.configs[-1]

            def create_optimization_profile(self) -> Profile:
                return Profile()

            def build_serialized_network(self, network: Network, config: Config) -> bytes | None:
                for error in module.refuses:
                    self._logger.log(Severity.ERROR, error)
                if module.refuses:
                    return None
                config.progress_monitor.phase_start("Building", None, 2)
                config.progress_monitor.phase_start("Timing", "Building", 9)
                for step in range(2):
                    config.progress_monitor.step_complete("Timing", step)
                    config.progress_monitor.step_complete("Building", step)
                config.progress_monitor.phase_finish("Building")
                config.cache.data += b"timings;"
                return b"a plan"

        class OnnxParser:
            def __init__(self, network: Network, logger: Logger) -> None:
                self.num_errors = int(not module.parses)

            def parse_from_file(self, path: str) -> bool:
                module.parsed.append(path)
                return module.parses

            def get_error(self, index: int) -> str:
                return "In node 3: UNSUPPORTED_NODE: no importer registered for op: Det"

        class IProgressMonitor:
            pass

        self.Builder, self.OnnxParser, self.IProgressMonitor = Builder, OnnxParser, IProgressMonitor
        self.Logger = self.ILogger = Logger

    def reset(self) -> None:
        """Forget what was built: Polygraphy keeps the module that it saw first."""
        self.inputs = ["sample", "time_embedding", "encoder_hidden_states"]
        self.refuses, self.parses = list[str](), True
        self.parsed: list[str] = []
        self.networks: list[Network] = []
        self.configs: list[Config] = []

    def init_libnvinfer_plugins(self, logger: Logger, namespace: str) -> bool:
        return True
