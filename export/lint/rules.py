"""The restrictions that the table of operators cannot express: a function for each.

A rule is given a node and says in a few words what the parser would not take, or nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import onnx

Rule = Callable[["Node"], str | None]


@dataclass(frozen=True, slots=True)
class Node:
    """A node with its attributes by name, and the values of the graph that are `constant` before it runs."""

    proto: onnx.NodeProto
    attributes: Mapping[str, Any]
    constant: frozenset[str]

    @classmethod
    def of(cls, proto: onnx.NodeProto, constant: frozenset[str]) -> "Node":
        """Return the node that `proto` describes; strings are decoded."""
        found = {entry.name: onnx.helper.get_attribute_value(entry) for entry in proto.attribute}
        decoded = {
            name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()
        }
        return cls(proto, decoded, constant)

    def input(self, index: int) -> str:
        """Return the name of an input, empty where it is not given."""
        return self.proto.input[index] if index < len(self.proto.input) else ""

    def is_constant(self, index: int) -> bool:
        """Return whether an input is a constant, or not given."""
        name = self.input(index)
        return not name or name in self.constant


RESIZE: dict[str, set[str | int]] = {
    "mode": {"nearest", "linear"},
    "coordinate_transformation_mode": {
        *("half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "asymmetric", "align_corners"),
    },
    "nearest_mode": {"floor", "ceil", "round_prefer_floor", "round_prefer_ceil"},
    "keep_aspect_ratio_policy": {"stretch"},
    "antialias": {0},
}


def resize(node: Node) -> str | None:
    """Check that the parser knows the interpolation."""
    wrong = [
        f"{name} {node.attributes[name]!r}"
        for name, allowed in RESIZE.items()
        if name in node.attributes and node.attributes[name] not in allowed
    ]
    return ", ".join(wrong) or None


def constant_axes(node: Node) -> str | None:
    """Check that axes are known when the plan is built."""
    return None if node.is_constant(1) else f"axes {node.input(1)!r} are computed, not constant"


def only_first_output(node: Node) -> str | None:
    """Refuse the mean and deviation of a normalisation, the indices of a pooling."""
    more = [name for name in node.proto.output[1:] if name]
    return f"output {more[0]!r} besides the first" if more else None


def undilated(node: Node) -> str | None:
    """Check that pooling windows have no holes."""
    dilations = node.attributes.get("dilations", [])
    return f"dilations {list(dilations)}" if any(step != 1 for step in dilations) else None


def dense_constant(node: Node) -> str | None:
    """Check that constants are neither sparse nor text."""
    wrong = {"sparse_value", "value_string", "value_strings"} & node.attributes.keys()
    return f"attribute {min(wrong)}" if wrong else None


REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
RULES: dict[str, tuple[Rule, ...]] = {
    "AveragePool": (undilated,),
    "Constant": (dense_constant,),
    "LayerNormalization": (only_first_output,),
    "MaxPool": (undilated, only_first_output),
    "Resize": (resize,),
    "Squeeze": (constant_axes,),
    "Unsqueeze": (constant_axes,),
    **{f"Reduce{name}": (constant_axes,) for name in REDUCTIONS},
}
