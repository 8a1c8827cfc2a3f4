"""Trials as a table: each variant over its seeds, and how far it is from ours on the same captions."""

from collections.abc import Mapping, Sequence
from typing import Any

from aptp.score.intervals import bootstrap
from bench.ablations.variants import IN_SECONDS, OURS

Results = Mapping[str, Sequence[Mapping[str, Any]]]  # by variant, one for each seed


def codes(results: Results, target: float) -> list[dict[str, str]]:
    """Tabulate what the codes cost and how prompts use them; `target`: the mean share of dense aimed at, of
    its MACs or, where the budget is in seconds, of those.

    Seeds that came to no codes are told, and not in any mean.
    """
    rows = []
    for name, every in results.items():
        trials = _made(every)
        failed = "; ".join(found["failure"] for found in every if "failure" in found)
        rows.append(_codes(name, trials, target) if trials else {"variant": name})
        rows[-1]["without codes"] = failed
    columns = dict.fromkeys(column for row in rows for column in row)
    return [{column: row.get(column, "–") for column in columns} for row in rows]


def _codes(name: str, trials: Sequence[Mapping[str, Any]], target: float) -> dict[str, str]:
    aimed = "seconds" if name in IN_SECONDS else "budgets"
    return {
        "variant": name,
        "codes cost, of dense MACs": "; ".join(_sorted(found["budgets"]) for found in trials),
        "mean": _each([_mean(found, "budgets") for found in trials], "{:.3f}"),
        "off target": _each([_mean(found, aimed) / target - 1 for found in trials], "{:+.1%}"),
        "mean of dense seconds": _each([_mean(found, "seconds") for found in trials], "{:.3f}"),
        "least and most used": "; ".join(_use(found["counts"]) for found in trials),
        "bits of tier": _each([found["information"] for found in trials], "{:.2f}"),
        "routed as learned": _each([found["agreement"] for found in trials], "{:.0%}"),
    }


def pictures(results: Results, dense: Mapping[str, Any]) -> list[dict[str, str]]:
    """Tabulate the mixture's pictures: shares of captions drawn all right, with those less ours and the 95 %
    interval of that difference over captions, those of every seed; seeds themselves apart.
    """
    rows = [{"variant": "dense", "sliced": "", "less ours, sliced": "", **_quality([dense]), "less ours": ""}]
    for name, every in results.items():
        trials = _made(every)
        if not trials:
            continue
        tuned = [found["tuned"] for found in trials]
        rows.append(
            {
                "variant": name,
                "sliced": _each([_share(found["sliced"], "all") for found in trials], "{:.3f}"),
                "less ours, sliced": _difference(trials, results.get(OURS, ()), "sliced", name),
                **_quality(tuned),
                "less ours": _difference(trials, results.get(OURS, ()), "tuned", name),
            }
        )
    return rows


def _made(trials: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [found for found in trials if "failure" not in found]


def _quality(drawn: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {
        "tuned": _each([_share(each, "all") for each in drawn], "{:.3f}"),
        "letters": _each([_share(each, "letters") for each in drawn], "{:.3f}"),
        "count": _each([_share(each, "count") for each in drawn], "{:.3f}"),
        "FD-scenes": _each([each["distance"] for each in drawn], "{:.2f}"),
    }


def _share(drawn: Mapping[str, Any], measure: str) -> float:
    values = [picture[measure] for picture in drawn["pictures"] if measure in picture]
    return float(sum(values) / len(values))


def _difference(
    trials: Sequence[Mapping[str, Any]], ours: Sequence[Mapping[str, Any]], when: str, name: str
) -> str:
    """Return the differences seed by seed and caption by caption."""
    if name == OURS:
        return ""
    by_seed = {found["seed"]: found[when]["pictures"] for found in _made(ours)}
    values = [
        picture["all"] - other["all"]
        for found in trials
        if found["seed"] in by_seed
        for picture, other in zip(found[when]["pictures"], by_seed[found["seed"]], strict=True)
    ]
    if not values:
        return "–"
    low, high = bootstrap(values)
    return f"{sum(values) / len(values):+.3f} [{low:+.3f}, {high:+.3f}]"


def _mean(found: Mapping[str, Any], costs: str) -> float:
    """Return the mean cost of the prompts as they were routed, a share of dense."""
    pairs = zip(found[costs], found["counts"], strict=True)
    return float(sum(cost * count for cost, count in pairs) / sum(found["counts"]))


def _sorted(budgets: Sequence[float]) -> str:
    return " ".join(f"{budget:.2f}" for budget in sorted(budgets))


def _use(counts: Sequence[int]) -> str:
    return f"{min(counts) / sum(counts):.0%}–{max(counts) / sum(counts):.0%}"


def _each(values: Sequence[float], form: str) -> str:
    """Return the mean, and each seed's where there are several."""
    mean = form.format(sum(values) / len(values))
    return mean if len(values) == 1 else f"{mean} ({', '.join(form.format(value) for value in values)})"
