"""The command from end to end on a small checkpoint: a page that stands alone, and its numbers."""

import json
import re
import sys
from collections.abc import Mapping
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from aptp.analyse import __main__ as command
from aptp.analyse import study
from aptp.checkpoint.reader import Checkpoint
from aptp.checkpoint.record import OutOfDistributionRule
from aptp.checkpoint.writer import write_guarded
from aptp.model.mahalanobis import MahalanobisDetector
from aptp.ood.threshold import measure
from runtime.cli.parser import run
from runtime.errors import UsageError
from tests.checkpoints import mini_checkpoint

HOSTILE = '<script>alert("1")</script> & </style>'
VOID = {"meta", "img"}


class Page(HTMLParser):
    """Collects tags and what they refer to; every tag that opens has to close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.references: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def call(*words: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["aptp.analyse", "--data", "scenes", *words])
        patch.setattr(study, "FITTED", 200)
        patch.setattr(study, "measure", partial(measure, share=0.1))
        with pytest.raises(SystemExit) as stop:
            run(command.main)
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mini_checkpoint(tmp_path_factory)


@pytest.fixture(scope="module")
def report(mini: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Mapping[str, Any]]:
    folder = tmp_path_factory.mktemp("report")
    (folder / "strange.txt").write_text(f"Paris at night\n{HOSTILE}\na red circle\n")
    (folder / "other.csv").write_text("caption\na dog\n")
    files = [word for name in ("strange.txt", "other.csv") for word in ("--prompts", str(folder / name))]
    words = ["--checkpoint", str(mini), "--out", str(folder / "report.html"), *files]
    assert call(*words, "--count", "120", "--pictures", "2", "--steps", "1") == 0
    return (folder / "report.html").read_text(), json.loads((folder / "report.json").read_text())


def test_captions_of_another_kind_of_pipeline_have_to_be_named(
    mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = str(tmp_path / "report.html")
    monkeypatch.setattr(sys, "argv", ["aptp.analyse", "--checkpoint", str(mini), "--out", page])
    with pytest.raises(UsageError, match="--data is missing: .* is not of the default's kind"):
        command.main()


def test_the_page_needs_nothing_else(report: tuple[str, Mapping[str, Any]]) -> None:
    page = Page(report[0])
    assert "script" not in page.tags
    assert not page.tags & {"link", "iframe", "object", "base", "form"}
    assert all(at.startswith(("data:image/png;base64,", "#code-")) for at in page.references)
    assert not re.search(r"https?:", report[0])
    assert not re.search(r"url\(|@import", report[0])


def test_prompts_are_text(report: tuple[str, Mapping[str, Any]]) -> None:
    assert HOSTILE not in report[0]
    assert "&lt;script&gt;alert(&#34;1&#34;)" in report[0]


def test_every_code_and_set_is_shown(report: tuple[str, Mapping[str, Any]]) -> None:
    html, found = report
    assert html.count('class="unet"') == len(found["codes"]) == 2
    assert [(one["name"], one["count"]) for one in found["sets"]] == [
        ("held-out scenes", 120),
        ("strange", 3),
        ("other", 1),
    ]
    drawn = sum(len(one["drawn"]) for one in (*found["codes"], *found["sets"]))
    assert html.count("data:image/png") == drawn
    assert 6 <= drawn <= 8


def test_the_numbers_fit_each_other(mini: Path, report: tuple[str, Mapping[str, Any]]) -> None:
    found = report[1]
    checkpoint = Checkpoint.open(mini)
    cost = checkpoint.cost()
    budgets = [cost.of(one) / cost.dense for one in checkpoint.architectures]
    assert [code["budget"] for code in found["codes"]] == pytest.approx(budgets)
    assert sum(code["count"] for code in found["codes"]) == 120
    assert found["sets"][0]["counts"] == [code["count"] for code in found["codes"]]
    spent = sum(code["share"] * code["budget"] for code in found["codes"])
    assert found["budget"][0] == pytest.approx(spent)
    assert 0.02 < found["sets"][0]["beyond"] < 0.25  # a limit of a tenth, on other captions
    for one in found["sets"]:
        assert all(each["distance"] <= found["limit"] for each in one["nearest"][:1]) or one["beyond"] == 1


def test_a_checkpoint_s_own_limit_is_the_one_that_counts(mini: Path, tmp_path: Path) -> None:
    width = Checkpoint.open(mini).router().predictor.in_features
    write_guarded(
        Checkpoint.open(mini),
        tmp_path / "guarded",
        MahalanobisDetector(width, 1),
        OutOfDistributionRule(1.25, "1"),
        {},
    )
    looked = study.RouterStudy(
        Checkpoint.open(tmp_path / "guarded"), study.StudyOptions(count=100, pictures=0), {}
    )
    found = looked.findings({})
    assert (found.limit, found.sets[0].beyond) == (1.25, 0)
    assert "prompts go to expert 1" in found.limit_of


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--count", "99"], "--count 99: give at least 100"),
        (["--pictures", "-1"], "--pictures -1"),
        (["--guidance", "nan"], "--guidance nan"),
        (["--prompts", "x/a.txt", "--prompts", "y/a.tsv"], "two files are named a"),
        (["--prompts", "nowhere.txt"], "nowhere.txt cannot be read"),
        (["--out", "report.pdf"], "give a file that ends in .html"),
        (["--out", "nowhere/report.html"], "nowhere is no folder"),
        (["--data", "scene"], "no data named 'scene'"),
    ],
)
def test_usage(
    mini: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    out = [] if "--out" in words else ["--out", str(tmp_path / "report.html")]
    assert call("--checkpoint", str(mini), *out, *words) == 2
    assert message in capsys.readouterr().err.replace("\n", "")
    assert list(tmp_path.iterdir()) == []
