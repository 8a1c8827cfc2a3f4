"""Judgements: what scores must say, what is refused, and the bundle that is published with them."""

import json
from pathlib import Path
from typing import Any

import pytest

from export.build import manifest_body, manifest_file
from export.judge import __main__ as command
from export.judge import scores as reading
from runtime.bundle.reader import Bundle
from runtime.bundle.schema import Earned
from runtime.errors import DataError, IntegrityError, Refused, UsageError
from tests.bundles import add_int8, write_bundle

CODES = ("0", "1")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose codes have eight bits, and whose dense expert has none; not to be changed."""
    root = write_bundle(tmp_path_factory.mktemp("judged") / "bundle", experts=[*CODES, "dense"])
    add_int8(root, CODES)
    (root.with_name("bundle.report")).mkdir()
    (root.with_name("bundle.report") / "report.json").write_text("{}")
    return root


@pytest.fixture
def document(source: Path) -> dict[str, Any]:
    """Scores that are good enough."""
    return {
        "format": "aptp-scores",
        "version": "1.0",
        "bundle": Bundle.open(source).digest,
        "processor": "avx2",
        "candidate": {"engine": "openvino", "precision": "int8"},
        "baseline": {"engine": "openvino", "precision": "float32"},
        "experts": [*CODES],
        "captions": [f"a scene of {index}" for index in range(2400)],
        "differences": [
            {"metric": "all", "images": 2400, "difference": -0.005, "low": -0.015, "high": 0.005},
            {"metric": "words", "images": 600, "difference": -0.01, "low": -0.04, "high": 0.02},
        ],
    }


def judge(bundle: Path, document: dict[str, Any], out: Path, *words: str) -> int:
    file = out.with_name("scores.json")
    file.write_text(json.dumps(document))
    return command.main(["--bundle", str(bundle), "--scores", str(file), "--out", str(out), *words])


def test_the_bundle_is_published_with_what_was_found(
    source: Path, document: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judge(source, document, tmp_path / "out") == 0
    bundle = Bundle.open(tmp_path / "out")
    bundle.verify()
    wanted = Earned("openvino", "int8", "avx2")
    earned = {name: list(expert.earned) for name, expert in bundle.manifest.experts.items()}
    assert earned == {"0": [wanted], "1": [wanted], "dense": []}
    (entry,) = bundle.manifest.experts["1"].earned
    found = [(one.metric, one.images, one.difference, one.low, one.high, one.bar) for one in entry.rung]
    assert found == [("all", 2400, -0.005, -0.015, 0.005, -0.02), ("words", 600, -0.01, -0.04, 0.02, -0.05)]
    assert (tmp_path / "out.report/report.json").read_text() == "{}"
    said = capsys.readouterr().err
    assert "all: -0.0050 (-0.0150 to +0.0050), 2400 images, above -0.0200" in said
    assert "experts 0, 1 have earned int8 on avx2" in said


def test_a_second_judgement_replaces_that_of_its_processor_alone(
    source: Path, document: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    judge(source, document, out)
    for processor in ("amx_bf16", "avx2"):
        document.update(bundle=Bundle.open(out).digest, processor=processor)
        assert judge(out, document, out) == 0  # in place
    entries = Bundle.open(out).manifest.experts["0"].earned
    assert [entry.processor for entry in entries] == ["amx_bf16", "avx2"]


def test_a_build_keeps_the_judgement_of_what_has_not_changed(
    source: Path, document: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    judge(source, document, out)
    kept = manifest_body.judged(manifest_file.read_manifest(out))
    files = Bundle.open(out).manifest.files
    places = [f"experts/0/unet/int8.{kind}" for kind in ("xml", "bin")]
    assert list(kept) == [tuple(files[place].sha256 for place in places)]
    assert [entry["processor"] for entry in kept[next(iter(kept))]] == ["avx2"]
    assert manifest_body.judged(manifest_file.read_manifest(source)) == {}
    assert manifest_body.judged(None) == {}


def test_another_metric_has_the_bar_that_the_caller_gives(
    source: Path, document: dict[str, Any], tmp_path: Path
) -> None:
    document["differences"] = [
        {"metric": "clip", "images": 2400, "difference": -0.1, "low": -0.15, "high": -0.05}
    ]
    with pytest.raises(
        UsageError, match=r"metric 'clip' has no bar; say how much worse it may be, such as --bar"
    ):
        judge(source, document, tmp_path / "out")
    assert judge(source, document, tmp_path / "out", "--bar", "clip=-0.2") == 0
    assert Bundle.open(tmp_path / "out").manifest.experts["0"].earned[0].rung[0].bar == -0.2


REFUSED = [
    pytest.param(
        {"bundle": "0" * 64}, "these scores are of bundle 0000000000000000, and", id="another bundle"
    ),
    pytest.param(
        {"candidate": {"engine": "openvino", "precision": "bfloat16"}},
        "these scores are of openvino in bfloat16, less float32; what is judged is openvino in int8",
        id="another precision",
    ),
    pytest.param(
        {"baseline": {"engine": "openvino", "precision": "bfloat16"}},
        "of openvino in int8, less bfloat16; what is judged",
        id="another baseline",
    ),
    pytest.param(
        {"experts": ["0", "dense"]}, "holds no expert 'dense' in eight bits; build it with", id="expert"
    ),
    pytest.param(
        {"captions": [*map(str, range(2399)), "calibrated 1"]},
        "expert '0' was calibrated on 1 of these captions, such as 'calibrated 1'; judge it by others",
        id="calibrated on them",
    ),
    pytest.param(
        {"differences": [{"metric": "all", "images": 2399, "difference": 0, "low": 0, "high": 0}]},
        "metric 'all': 2399 images tell too little; draw at least 2400",
        id="too few",
    ),
    pytest.param(
        {"differences": [{"metric": "words", "images": 599, "difference": 0, "low": 0, "high": 0}]},
        "metric 'words': 599 images tell too little; draw at least 600",
        id="too few words",
    ),
    pytest.param(
        {"differences": [{"metric": "all", "images": 2400, "difference": -0.01, "low": -0.02, "high": 0}]},
        r"'all': -0.0100 \(-0.0200 to \+0.0000\) over 2400 images reaches below -0.0200; the bundle stays",
        id="below the bar",
    ),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_what_is_refused_publishes_nothing(
    source: Path, document: dict[str, Any], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(Refused, match=message):
        judge(source, {**document, **changes}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_bundle_is_not_published_again(
    source: Path, document: dict[str, Any], tmp_path: Path
) -> None:
    copy = write_bundle(tmp_path / "bundle", experts=[*CODES, "dense"])
    add_int8(copy, CODES)
    document["bundle"] = Bundle.open(copy).digest
    (copy / "experts/1/unet/int8.bin").write_bytes(b"9")
    with pytest.raises(IntegrityError, match="int8.bin"):
        judge(copy, document, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "scores"}, r"scores.json.format: 'scores' is not one of 'aptp-scores'"),
        ({"version": "2.0"}, r"version: '2.0' is not one of '1.0'"),
        ({"bundle": "0"}, r"bundle: must be 64 lower-case hex"),
        ({"captions": []}, "captions: must be a list of at least one item"),
        ({"processor": "avx\n2"}, "processor: must be printable ASCII"),
        ({"candidate": {"engine": "openvino"}}, "candidate: the field 'precision' is missing"),
        ({"novelty": 1}, "unknown field 'novelty'"),
        ({"captions": ["one"]}, "differences: 'all' has more images than there are captions"),
        (
            {"differences": [{"metric": "all", "images": 1, "difference": 1, "low": 2, "high": 3}]},
            r"differences\[0\].difference: must lie within low and high",
        ),
    ],
)
def test_scores_that_break_the_format(
    document: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        reading.parse(json.dumps({**document, **changes}).encode(), "scores.json")


def test_scores_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--scores .*none.json: cannot be read: No such file"):
        reading.read(tmp_path / "none.json")


@pytest.mark.parametrize("bar", ["clip", "=1", "clip=much", "clip=inf"])
def test_a_bar_that_is_none(source: Path, document: dict[str, Any], tmp_path: Path, bar: str) -> None:
    with pytest.raises(UsageError, match="is not METRIC=NUMBER, such as clip=-0.2"):
        judge(source, document, tmp_path / "out", "--bar", bar)
