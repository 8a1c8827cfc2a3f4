"""The operators that TensorRT's ONNX parser takes, and the element types of each.

The facts are those of the support matrix that the parser's project, onnx-tensorrt, publishes with each
release (docs/operators.md), for the version below; later releases have added to it. Left out on purpose, and
so reported when a graph uses them: operators with restrictions that `export.lint.rules` does not check
(quantisation, recurrences, control flow, plugins), and those that only generate random numbers.
"""

from collections.abc import Iterable

TENSORRT = "10.15"
OPSETS = range(9, 25)

FLOATS = frozenset({"float", "float16", "bfloat16"})
NUMBERS = FLOATS | {"int32", "int64"}
ELEMENTS = NUMBERS | {"bool"}
# 8-bit integers go in and out of a network, and are cast in between.
ENDS = ELEMENTS | {"uint8"}


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FLOATING = _names("""
    Acos Acosh Asin Asinh Atan Atanh AveragePool BatchNormalization Ceil Celu Clip Conv ConvTranspose Cos
    Cosh Einsum Elu Erf Exp Floor Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool GroupNormalization
    HardSigmoid HardSwish InstanceNormalization IsInf LayerNormalization LeakyRelu Log LogSoftmax
    LpNormalization LRN MatMul MaxPool MeanVarianceNormalization PRelu Reciprocal Resize RMSNormalization
    Round Selu Sigmoid Sin Sinh Softmax Softplus Softsign Sqrt Tan Tanh ThresholdedRelu
""")
_NUMERIC = _names("""
    Abs Add ArgMax ArgMin DepthToSpace Div Equal Gelu Greater GreaterOrEqual IsNaN Less LessOrEqual Max
    Mean Min Mod Mul Neg Pad Pow Range ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean
    ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu ScatterElements Shrink Sign SpaceToDepth Sub Sum
""")
_ANY = _names("""
    Concat Constant ConstantOfShape Expand Flatten Gather GatherElements GatherND Identity Reshape Shape
    Size Slice Split Squeeze Tile Transpose Trilu Unsqueeze Where
""")


def _each(names: Iterable[str], types: frozenset[str]) -> dict[str, frozenset[str]]:
    return dict.fromkeys(names, types)


OPERATORS: dict[str, frozenset[str]] = {
    **_each(_FLOATING, FLOATS),
    **_each(_NUMERIC, NUMBERS),
    **_each(_ANY, ELEMENTS),
    **_each(("And", "Not", "Or", "Xor"), frozenset({"bool"})),
    **_each(("Cast", "CastLike"), ENDS),
    # Narrower than their kind in the matrix.
    **_each(("GridSample", "Mish", "NonZero", "RoiAlign"), frozenset({"float", "float16"})),
}
