from runtime.bench import markdown, report
from runtime.bench.results import Results
from runtime.timing.turns import Series


def rendered(findings: Results) -> str:
    return markdown.render(report.document(findings))


def row(text: str, first: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_step_in_one_line(findings: Results) -> None:
    text = rendered(findings)
    heads = row(text, "")
    expert = dict(zip(row(text, " | MACs")[0:1] + heads[1:], row(text, "expert 0"), strict=False))
    assert row(text, "expert 0")[1:4] == ["500.0 M", "6", "1.25 s"]
    assert "1.6 [1.6–1.6]" in expert.values()
    assert "0.80" in expert.values()


def test_groups_that_did_not_fit_together_are_numbered(findings: Results) -> None:
    findings.comparisons.append(findings.comparisons[0])
    text = rendered(findings)
    assert "## One UNet call, 1 row (group 2 of 2)" in text
    assert "## One UNet call, 4 rows\n" in text


def test_columns_without_a_number_are_left_out(findings: Results) -> None:
    text = rendered(findings)
    assert "p99" not in text.partition("## Opening")[0].partition("## One UNet call")[2]


def test_openings_tell_memory_above_what_was_held_before(findings: Results) -> None:
    cells = row(rendered(findings).partition("## Opening")[2], "dense")
    assert cells[1:8] == ["90 s", "1.0 MiB", "4 s", "3 s", "2 s", "1.5 s", "2.5 s"]
    assert cells[8:10] == ["20.0 MiB", "35.0 MiB"]


def test_arrivals_tell_who_came_who_waited_and_who_was_refused(findings: Results) -> None:
    text = rendered(findings)
    assert "| arrive/s | for | came | refused | failed | images/s |" in text
    assert "| 2 | 30 s | 60 | 5 | 0 | 0.0625 |" in text
    assert "| 4.00 | 50 % | 1 % |" in text


def test_the_mixture_tells_both_ratios(findings: Results) -> None:
    text = rendered(findings)
    assert "Throughput against the control: 0.5; at equal MACs 0.6; 2 passes of each, in turns." in text
    assert "Prompts by expert: expert 0: 1, expert 1: 1" in text


def test_what_was_not_run_is_listed(findings: Results) -> None:
    assert "- optimum (load): optimum is not installed" in rendered(findings)


def test_failures_and_unsteady_warm_ups_are_told(findings: Results) -> None:
    findings.comparisons[1].entries[0].series = Series([1.0], [2.0], settled=False)
    text = rendered(findings)
    assert "expert 1: expert 1: out of memory" in text
    assert "dense: its warm-up never became steady." in text


def test_warnings_come_first(findings: Results) -> None:
    quiet = rendered(findings)
    assert "load average" not in quiet
    assert "**" not in quiet
    findings.moments["before"]["load"], findings.end = 2.5, "interrupted"
    text = rendered(findings)
    assert text.index("the load average was 2.5") < text.index("python -m runtime.bench")
    assert "This run was interrupted" in text


def test_random_weights_are_called_that(findings: Results) -> None:
    assert "its weights are random" in rendered(findings)
    findings.about["trained"] = True
    assert "its weights are trained." in rendered(findings)


def test_findings_without_anything_but_a_machine(findings: Results) -> None:
    bare = Results(findings.about, findings.environment, peak=findings.peak)
    assert "## Environment" in rendered(bare)
