"""The conventions of our C++, by its text."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "cpp"

# Reads or writes numbers, or classifies characters, by the locale of the program around the library;
# numbers.hpp does not.
BY_LOCALE = re.compile(
    r"\b(strto[a-z]+|ato[fil]l?|sto(f|d|ld|i|l|ll|ul|ull)|v?f?scanf|v?sscanf|setprecision|localeconv|strftime"
    r"|is(alpha|alnum|digit|space|upper|lower|punct|print|xdigit|cntrl|graph)|to(upper|lower)|[io]?stringstream"
    r"|std::regex)\b|%[-+ #0-9.*]*[aefgAEFG]\b"
)


def lines() -> Iterator[tuple[str, str]]:
    """Yield each line of code after its place."""
    for path in sorted(ROOT.rglob("*.[ch]pp")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            yield f"{path.relative_to(ROOT)}:{number}: {line.strip()}", line.split("//")[0]


def test_the_pattern_finds_what_depends_on_the_locale() -> None:
    for code in (
        "std::stod(text)",
        'snprintf(b, 9, "%.3f", x)',
        "std::istringstream words",
        "isalpha(c)",
        '"%-6.0f "',
    ):
        assert BY_LOCALE.search(code), code
    for code in (
        "read_number(text)",
        '"%s: %d%%\\n"',
        "std::to_string(count)",
        "is_digest(text)",
        '"%lld/%lld"',
    ):
        assert not BY_LOCALE.search(code), code


def test_nothing_depends_on_the_locale() -> None:
    assert [place for place, code in lines() if BY_LOCALE.search(code)] == []
