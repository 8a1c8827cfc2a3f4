"""A benchmark's document as Markdown: tables, and the notes that they need."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from runtime.bench import quantities
from runtime.bench.quantities import NONE
from runtime.bench.spec import label
from runtime.cli.markdown import table

Document = Mapping[str, Any]
TITLES = {
    "step": "One UNet call",
    "loop": "The denoising loop of one image",
    "image": "One image, prompt to pixels",
    "parts": "The parts around the UNet",
}


def render(document: Document, pictures: Sequence[str] = ()) -> str:
    """Render the whole report; `pictures` are files beside it."""
    sections = [
        _head(document),
        *_comparisons(document),
        *_openings(document["openings"]),
        *_peers(document["peers"]),
        *([_mixture(document["mixture"])] if document["mixture"] else []),
        *([_arrivals(document["arrivals"])] if document["arrivals"] else []),
        *_not_run(document["not_run"]),
        *(f"![{name}]({name})" for name in pictures),
        _environment(document),
    ]
    return "\n\n".join(sections) + "\n"


def _head(document: Document) -> str:
    about, peak = document["about"], document["peak"]
    weights = "trained" if about["trained"] else "random: cost, memory and latency are real, images are not"
    facts = [
        f"`{about['command']}`",
        f"Bundle `{about['manifest'][:16]}` ({about['source']}); its weights are {weights}.",
        f"{about['height']}×{about['width']} px, {about['steps']} steps of {about['solver']}, "
        f"guidance {about['guidance']:g}.",
        f"A product of two {peak['side']}×{peak['side']} matrices in {peak['dtype']} (NumPy) reached "
        f"{quantities.scaled(peak['macs_per_second'])}MAC/s in this run: the peak below.",
        "Contenders took turns. Speed-ups are medians over rounds against the first of the table, with their "
        "95 % intervals; *realised* is the speed-up over what the MACs promise, *error* the distance to the "
        f"first output of the same weights (rms over rms). A percentile too few samples show is {NONE}.",
    ]
    warnings = [f"**{note}**" for note in _warnings(document)]
    return "\n\n".join(["# Benchmark", *warnings, *facts])


def _warnings(document: Document) -> Iterator[str]:
    if document["end"] != "complete":
        yield f"This run was {document['end']}: what follows was measured before."
    load = document["moments"].get("before", {}).get("load", 0)
    if load > 0.5:
        yield f"Other work was running: the load average was {load:g} before the first measurement."
    yield from document["notes"]


def _comparisons(document: Document) -> Iterator[str]:
    titles = [_title(comparison) for comparison in document["comparisons"]]
    for index, (title, comparison) in enumerate(zip(titles, document["comparisons"], strict=True)):
        if titles.count(title) > 1:  # not all of them fitted into memory at once
            title += f" (group {titles[: index + 1].count(title)} of {titles.count(title)})"
        rows = [_row(entry) for entry in comparison["entries"]]
        remarks = [remark for entry in comparison["entries"] for remark in _remarks(entry)]
        yield "\n\n".join([f"## {title}", _table(rows), *remarks])


def _title(comparison: Document) -> str:
    title = TITLES[comparison["level"]]
    if comparison["level"] != "step":
        return title
    return f"{title}, {comparison['rows']} row{'s' * (comparison['rows'] > 1)}"


def _row(entry: Document) -> dict[str, str]:
    summary = entry["summary"] or {}
    return {
        "": entry["name"],
        "MACs": quantities.scaled(entry["macs"]) if entry["macs"] else NONE,
        "n": str(summary.get("count", 0)),
        **{name: quantities.time(summary.get(name)) for name in ("p50", "p90", "p99")},
        "CoV": quantities.percent(summary.get("cov")),
        "speed-up": quantities.ratio(entry.get("speed_up")),
        "realised": quantities.number(entry.get("realised")),
        "of peak": quantities.percent(entry.get("of_peak")),
        "error": NONE if entry["error"] is None else f"{entry['error']:.1e}",
    }


def _remarks(entry: Document) -> Iterator[str]:
    series = entry["series"]
    if series["failure"]:
        yield f"{entry['name']}: {series['failure']}"
    elif series["warm_up"] and not series["settled"]:
        yield f"{entry['name']}: its warm-up never became steady."


def _openings(openings: Sequence[Document]) -> Iterator[str]:
    if openings:
        rows = [_opening(opening) for opening in openings]
        yield "\n\n".join(
            [
                "## Opening an expert",
                _table(rows),
                "Each in a process of its own. *First* checks the files; *again* is after eviction. "
                "*Private* is memory that no file backs, above what the process held before; *peak* is all "
                "memory during a call.",
            ]
        )


def _opening(opening: Document) -> dict[str, str]:
    held = opening["memory"]

    def above(moment: str) -> str:
        known = held[moment] and held["before"]
        return quantities.size(held[moment]["private"] - held["before"]["private"]) if known else NONE

    return {
        "": opening["name"] + (" (unpacking)" if opening["unpacked"] else ""),
        "built in": quantities.time(opening["built"]),
        "files": quantities.size(opening["file_bytes"]),
        "first": quantities.time(opening["first"]),
        "first call": quantities.time(opening["first_call"]),
        "second call": quantities.time(opening["second_call"]),
        "again": quantities.time(opening["again"]),
        "call after": quantities.time(opening["again_call"]),
        "private, open": above("opened"),
        "private, after calls": above("second call"),
        **{
            f"peak, {name}": quantities.size(held[name]["peak"]) if held[name] else NONE
            for name in ("first call", "second call")
        },
    }


def _peers(peers: Sequence[Document]) -> Iterator[str]:
    if peers:
        rows = [
            {
                "": peer["name"],
                "ready after": quantities.time(peer["seconds"]),
                "peak memory": quantities.size(peer["memory"]["peak"]) if peer["memory"] else NONE,
                "versions": ", ".join(f"{name} {version}" for name, version in peer["versions"].items()),
            }
            for peer in peers
        ]
        yield f"## Peers\n\n{_table(rows)}"


def _mixture(mixture: Document) -> str:
    title = f"## {mixture['prompts']} prompts in a closed loop, {mixture['running']} under way"
    if "summary" not in mixture:
        return f"{title}\n\nNo pass was completed."
    names = {"mixed": "each on its expert", "alone": f"all on {label(mixture['control'])}"}
    rows = [_arm(name, mixture["macs"][arm], mixture["summary"][arm]) for arm, name in names.items()]
    return "\n\n".join([title, _table(rows), _verdict(mixture)])


def _arm(name: str, macs: float, arm: Document) -> dict[str, str]:
    return {
        "": name,
        "MACs a row": quantities.scaled(macs),
        "images/s": f"{arm['images_per_second']:.3g}",
        **{key: quantities.time(arm["latency"][key]) for key in ("p50", "p90", "p99")},
        "UNet calls": f"{arm['calls']:.0f}",
        "rows a call": f"{arm['rows_per_call']:.2f}",
        **{share: quantities.percent(value) for share, value in arm["shares"].items()},
    }


def _verdict(mixture: Document) -> str:
    summary, experts = mixture["summary"], mixture["mixed"][0]["experts"]
    counts = ", ".join(f"{label(name)}: {number}" for name, number in sorted(experts.items()))
    return (
        f"Engine {mixture['engine']}; up to {mixture['batch']} images share a call. "
        f"Prompts by expert: {counts}. Throughput against the control: {quantities.ratio(summary['ratio'])}; "
        f"at equal MACs {quantities.ratio(summary['at_equal_cost'])}; "
        f"{len(mixture['alone'])} passes of each, in turns."
    )


def _arrivals(arrivals: Sequence[Document]) -> str:
    return f"## Prompts that arrive by themselves\n\n{_table([_rate(one) for one in arrivals])}"


def _rate(one: Document) -> dict[str, str]:
    summary = one["summary"]
    latency, wait = summary["latency"] or {}, summary["wait"] or {}
    return {
        "arrive/s": f"{one['rate']:g}",
        "for": quantities.time(one["seconds"]),
        "came": str(one["offered"]),
        "refused": str(one["rejected"]),
        "failed": str(len(one["failures"])),
        "images/s": f"{summary['per_second']:.3g}",
        **{key: quantities.time(latency.get(key)) for key in ("p50", "p90", "p99")},
        **{f"began after, {key}": quantities.time(wait.get(key)) for key in ("p50", "p99")},
        "rows a call": f"{summary['rows_per_call']:.2f}" if summary["rows_per_call"] else NONE,
        **{kind: quantities.percent(share) for kind, share in summary["busy"].items()},
    }


def _not_run(missing: Sequence[Document]) -> Iterator[str]:
    if missing:
        yield "## Not run\n\n" + _listed(
            f"{one['name']} ({one['level']}): {one['reason']}" for one in missing
        )


def _environment(document: Document) -> str:
    facts = {**document["environment"], **document["moments"]}
    return "## Environment\n\n" + _listed(f"{name}: {_said(value)}" for name, value in facts.items())


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_said(item)}" for name, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_said, value))
    return str(value)


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    shown = [head for head in rows[0] if head == "" or any(row.get(head, NONE) != NONE for row in rows)]
    return table(shown, ([row.get(head, NONE) for head in shown] for row in rows))
