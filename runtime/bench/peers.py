"""Programs to compare with: child processes that take turns with ours (bench/peers, docs in its protocol).

They need the checkpoint that the bundle was made from, and run in whatever Python has them installed. Refuses
to leave one out silently: each is measured, or there is a reason why not.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from runtime.bench.spec import BenchSpec
from runtime.bench.workload import Float32, Inputs
from runtime.errors import PeerFailure

ROOT, MODULE = Path(__file__).parents[2], "bench.peers"
_LAST_LINES = 3  # of what a peer said before it stopped
_PATIENCE = 10.0  # seconds for a peer that no longer answers to be gone


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to run the dense model: a `kind` of bench.peers and its options.

    With `graph` it runs the dense expert's graph; the others load the checkpoint.
    """

    kind: str
    options: Mapping[str, str] = field(default_factory=dict)
    levels: tuple[str, ...] = ("step", "image")
    graph: bool = False


PEERS: Mapping[str, Peer] = {
    "diffusers-float32": Peer("eager", {"dtype": "float32"}),
    "diffusers-bfloat16": Peer("eager", {"dtype": "bfloat16"}),
    "compile-bfloat16": Peer("compiled", {"dtype": "bfloat16", "mode": "default"}),
    "compile-bfloat16-graphs": Peer("compiled", {"dtype": "bfloat16", "mode": "reduce-overhead"}),
    "openvino": Peer("openvino_native", levels=("step",), graph=True),
    "optimum": Peer("optimum_ort"),
    "stable-diffusion.cpp-f16": Peer("stable_diffusion_cpp", {"weights": "f16"}, levels=("image",)),
    "stable-diffusion.cpp-q8_0": Peer("stable_diffusion_cpp", {"weights": "q8_0"}, levels=("image",)),
}


class PeerProcess:
    """A running peer that has loaded the model. A context manager: leaving it ends the process."""

    def __init__(self, name: str, spec: BenchSpec, graph: Path | None, folder: Path) -> None:
        """`graph` is the dense expert's portable one, if there is one; arrays go through `folder`.

        Raises `PeerFailure`.
        """
        self.name, self._folder = name, folder
        with ExitStack() as stack:
            self._log = stack.enter_context(tempfile.TemporaryFile())
            python = spec.peer_pythons.get(name, sys.executable)
            self._process = _start(python, PEERS[name].kind, self._log)
            stack.callback(_end, self._process)
            found = self._ask(
                "load",
                checkpoint=str(spec.checkpoint and spec.checkpoint.resolve()),
                graph=graph and str(graph.resolve()),
                device=spec.device,
                threads=spec.threads,
                **PEERS[name].options,
            )
            self._stack = stack.pop_all()
        self.seconds, self.versions = float(found["seconds"]), dict(found["versions"])

    def __enter__(self) -> "PeerProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def process(self) -> int:
        """The process's id."""
        return self._process.pid

    def take(self, inputs: Inputs) -> None:
        """Pass the inputs of the next `step` calls to the peer. Raises `PeerFailure`."""
        path = self._folder / f"{self.name}.npz"
        np.savez(path, allow_pickle=False, **inputs)
        self._ask("take", path=str(path))

    def step(self) -> float:
        """Make one UNet call and return the seconds that it took by the peer's own clock. Raises
        `PeerFailure`.
        """
        return float(self._ask("step")["seconds"])

    def output(self) -> Float32:
        """Return what the last step gave. Raises `PeerFailure`."""
        path = self._folder / f"{self.name}.npy"
        self._ask("output", path=str(path))
        output: Float32 = np.load(path)
        return output

    def image(self, spec: BenchSpec, prompt: str, rows: int) -> float:
        """Return the seconds from prompt to pixels, in as many UNet steps as `rows`. Raises `PeerFailure`."""
        params = spec.params
        found = self._ask(
            "image",
            prompt=prompt,
            negative=params.negative_prompt,
            steps=rows,
            guidance=params.guidance,
            height=params.size.height,
            width=params.size.width,
        )
        return float(found["seconds"])

    def close(self) -> None:
        """End the process."""
        self._stack.close()

    def _ask(self, what: str, **fields: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": what, **fields}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
            answer: dict[str, Any] = json.loads(line) if line else {"failure": self._last_words()}
        except (OSError, json.JSONDecodeError):
            answer = {"failure": self._last_words()}
        if "failure" in answer:
            raise PeerFailure(f"{self.name}: {answer['failure']}")
        return answer

    def _last_words(self) -> str:
        try:
            code = self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:  # it lives, and speaks something else
            self._process.kill()
            code = self._process.wait()
        self._log.seek(0)
        said = self._log.read().decode(errors="replace").strip().splitlines()[-_LAST_LINES:]
        return f"stopped with code {code}: {' / '.join(said) or 'without a word'}"


def _start(python: str, kind: str, log: IO[bytes]) -> "subprocess.Popen[str]":
    if not ROOT.joinpath(*MODULE.split(".")).is_dir():
        raise PeerFailure(
            f"the peers come with the source tree, and {ROOT} is none: it lacks {MODULE}; "
            "clone aptp's repository or unpack its source distribution, and run python -m runtime.bench there"
        )
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(
            [python, "-m", MODULE, kind],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=pipe,
            stdout=pipe,
            stderr=log,
            text=True,
            start_new_session=True,  # an interrupt is for us, and we end it
        )
    except OSError as error:
        raise PeerFailure(f"{python}: does not start: {error.strerror}; see --peer-python") from error


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        with suppress(BrokenPipeError):  # what was left to write has no reader any more
            stream.close()
