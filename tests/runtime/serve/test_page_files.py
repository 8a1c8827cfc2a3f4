"""The page's files, without a browser: they fit together, and obey the policy they are served under."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[3] / "runtime/serve/web"
FILES = sorted(path.name for path in PAGE.iterdir())
LINES, COLUMNS = 250, 110
READABLE = 4.5  # WCAG 2.2, 1.4.3: contrast of text with what is behind it

Tag = tuple[str, dict[str, str | None]]


class Tags(HTMLParser):
    """The start tags of a document."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[Tag] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def read(name: str) -> str:
    return (PAGE / name).read_text("utf-8")


def tags() -> list[Tag]:
    return Tags(read("index.html")).found


def imports(name: str) -> set[str]:
    return set(re.findall(r'from "\./([^"]+)"', read(name)))


def test_every_file_is_used_and_every_file_used_is_there() -> None:
    linked = {
        value for _, attributes in tags() for key, value in attributes.items() if key in ("href", "src")
    }
    assert all(value and value.startswith("page/") for value in linked)
    used = {"index.html"} | {str(value).removeprefix("page/") for value in linked}
    while more := {name for module in used if module.endswith(".js") for name in imports(module)} - used:
        used |= more
    assert used == set(FILES)


def test_nothing_is_inline() -> None:
    for tag, attributes in tags():
        assert tag != "style"
        assert tag != "script" or attributes.get("src")
        assert not [name for name in attributes if name == "style" or name.startswith("on")], tag


@pytest.mark.parametrize("name", FILES)
def test_no_other_server_is_named(name: str) -> None:
    addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", read(name)))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # a name, not an address


@pytest.mark.parametrize("name", FILES)
def test_files_can_be_read_at_one_sitting(name: str) -> None:
    lines = read(name).splitlines()
    assert len(lines) <= LINES
    assert [line for line in lines if len(line) > COLUMNS] == []


def test_ids_that_are_looked_up_are_there_once() -> None:
    ids = [attributes["id"] for _, attributes in tags() if "id" in attributes]
    assert len(ids) == len(set(ids))
    scripts = "".join(read(name) for name in FILES if name.endswith(".js"))
    assert set(re.findall(r'(?:\$|getElementById)\("([\w-]+)"\)', scripts)) <= set(ids)


def test_fields_have_labels_and_a_place_for_what_is_wrong() -> None:
    labelled = {attributes["for"] for tag, attributes in tags() if tag == "label"}
    ids = {attributes.get("id") for _, attributes in tags()}
    fields = [attributes for tag, attributes in tags() if tag in ("input", "select", "textarea")]
    assert labelled == {field["id"] for field in fields}
    for field in fields:
        if "name" in field:
            assert f"{field['name']}-problem" in ids
            assert f"{field['name']}-problem" in str(field["aria-describedby"])


def colours(scheme: str) -> dict[str, str]:
    blocks = re.findall(r":root\s*{([^}]*)}", read("style.css"))
    assert len(blocks) == 2
    chosen = blocks[:1] if scheme == "light" else blocks
    return {name: value for block in chosen for name, value in re.findall(r"--(\w+): (#[0-9a-f]{6})", block)}


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("text", ["ink", "soft", "wrong"])
@pytest.mark.parametrize("paper", ["page", "card", "empty"])
def test_text_can_be_read(scheme: str, text: str, paper: str) -> None:
    known = colours(scheme)
    darker, lighter = sorted([luminance(known[text]), luminance(known[paper])])
    assert (lighter + 0.05) / (darker + 0.05) >= READABLE
