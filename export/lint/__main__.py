"""`python -m export.lint GRAPH…`: check that TensorRT's parser documents every node and type of ONNX files.

Needs no TensorRT and no GPU. Exit codes: 0 all is documented, 1 something is not, 2 usage, 3 no graph to
read.
"""

from collections.abc import Sequence
from pathlib import Path

from runtime.cli.output import put
from runtime.cli.parser import Parser, run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the whole command; return its exit code."""
    parser = Parser(prog="python -m export.lint", extra="build", description=__doc__)
    parser.add_argument("graphs", type=Path, nargs="+", metavar="GRAPH", help="an ONNX file")
    options = parser.parse_args(argv)
    return max(_report(path) for path in options.graphs)


def _report(path: Path) -> int:
    # Not before the command line is known to be good.
    from export.lint.graph import findings, load
    from export.lint.operators import TENSORRT

    found = findings(load(path))
    state = f"{len(found)} findings" if found else "nothing found"
    lines = [f"{path}: {state} (TensorRT {TENSORRT}'s parser)", *(f"  {finding}" for finding in found)]
    put("\n".join(lines))
    return 1 if found else 0


if __name__ == "__main__":
    run(main)
