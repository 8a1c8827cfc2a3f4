import pytest

from runtime.cli.parser import Parser, run
from runtime.errors import CodeUnavailable, IntegrityError, UsageError


@pytest.fixture
def parser() -> Parser:
    parser = Parser(prog="thing")
    parser.add_argument("--engine", choices=["onnx", "tensorrt", "aoti"])
    parser.add_argument("--jobs", type=int)
    return parser


def test_good_arguments(parser: Parser) -> None:
    options = parser.parse_args(["--engine", "onnx", "--jobs", "2"])
    assert (options.engine, options.jobs) == ("onnx", 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--job", "2"], r"unknown option '--job' \(did you mean '--jobs'\?\); see thing --help"),
        (["--enginee=onnx"], r"unknown option '--enginee' \(did you mean '--engine'\?\)"),
        (["--enginee=a name"], r"unknown option '--enginee' \(did you mean '--engine'\?\)"),
        (["--zzz"], "unknown option '--zzz'; see thing --help"),
        (["--engine", "tensort"], r"invalid choice: 'tensort' .* \(did you mean 'tensorrt'\?\)"),
        (["--jobs", "x"], "argument --jobs: invalid int value: 'x'"),
        (["--jobs"], "argument --jobs: expected one argument"),
        (["extra"], "unexpected argument 'extra'"),
    ],
)
def test_bad_arguments(parser: Parser, arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parser.parse_args(arguments)


def test_a_misspelt_option_is_no_text_though_its_value_holds_a_space() -> None:
    parser = Parser(prog="thing")
    parser.add_argument("texts", nargs="*")
    parser.add_argument("--prompt")
    with pytest.raises(UsageError, match=r"unknown option '--promt' \(did you mean '--prompt'\?\)"):
        parser.parse_args(["--promt=a blue square", "text"])
    assert parser.parse_args(["--prompt=a b", "--", "--promt=a b"]).texts == ["--promt=a b"]


@pytest.fixture
def strict() -> Parser:
    """With an option that must be there, and two of which only one may."""
    parser = Parser(prog="thing")
    parser.add_argument("--codes", required=True)
    either = parser.add_mutually_exclusive_group(required=True)
    either.add_argument("--checkpoint")
    either.add_argument("--preset")
    return parser


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--code", "all", "--preset", "x"], r"^unknown option '--code' \(did you mean '--codes'\?\); see"),
        (["--code=a b", "--preset", "x"], r"unknown option '--code' \(did you mean '--codes'\?\)"),
        (["--codes", "all", "--presett", "x"], r"unknown option '--presett' \(did you mean '--preset'\?\)"),
        (["--preset", "x"], "the following arguments are required: --codes"),
        (["--preset", "x", "--", "--code"], "the following arguments are required: --codes"),
        (["--preset", "--a b"], "the following arguments are required: --codes"),
        (["--codes", "all"], "one of the arguments --checkpoint --preset is required"),
        (["--codes", "a", "--preset", "x", "--checkpoint", "y"], "not allowed with argument"),
    ],
)
def test_a_misspelt_option_is_told_before_what_follows_from_it(
    strict: Parser, arguments: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        strict.parse_args(arguments)


@pytest.mark.parametrize(
    ("failure", "code", "shown"),
    [
        (UsageError("steps"), 2, "error: steps\n"),
        (IntegrityError("file"), 3, "error: file\n"),
        (CodeUnavailable("code"), 1, "error: code\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_exit_codes(
    capsys: pytest.CaptureFixture[str], failure: BaseException, code: int, shown: str
) -> None:
    def main() -> int:
        raise failure

    with pytest.raises(SystemExit) as leaving:
        run(main)
    assert leaving.value.code == code
    assert capsys.readouterr().err == shown


def test_success_and_bugs() -> None:
    with pytest.raises(SystemExit) as leaving:
        run(lambda: 0)
    assert leaving.value.code == 0
    with pytest.raises(ZeroDivisionError):  # a bug keeps its traceback
        run(lambda: 1 // 0)
