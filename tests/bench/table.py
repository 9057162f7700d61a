"""The report as a person reads it. Pure: from a `Report` to lines of text."""

from collections.abc import Iterable, Sequence

from tests.bench.budgets import BUDGETS, Verdict
from tests.bench.results import Latency, Report

LATENCY_HEAD = ("", "n", "failed", "p50 ms", "p90 ms", "p99 ms", "max ms")


def render(report: Report) -> str:
    """Return the whole report."""
    return "\n".join(
        [
            _machine(report),
            _section("Budgets", _table(("", "measured", "budget", ""), _verdicts(report))),
            _section("Latencies (medians over the runs)", _latencies(report.latencies)),
            _section("Where the time goes (from the stories of the same entries)", _latencies(report.hops)),
            _section("Floors, measured in the same runs", _latencies(report.floors)),
            _section("Sustained webhook load, each run", _ramps(report)),
            _section("RISK under a burst", _bursts(report)),
            _section("Processor time per item, ms (last run)", _cpu(report)),
            _section("Memory after the runs, MiB", _table(("", "RSS"), _rss(report))),
            _section("Disturbance", _disturbance(report)),
        ]
    )


def _machine(report: Report) -> str:
    machine = report.machine
    libraries = ", ".join(f"{name} {version}" for name, version in machine.libraries.items())
    kind = "quick look, 1 run" if report.is_quick else f"{len(report.runs)} runs"
    return (
        f"Phoenix 95 benchmark, {report.measured_at}, {kind}\n"
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib} GiB, {machine.system}, "
        f"Python {machine.python}, fsync p50 {machine.fsync_p50_ms} ms, p99 {machine.fsync_p99_ms} ms\n"
        f"{libraries}"
    )


def _verdicts(report: Report) -> Iterable[Sequence[str]]:
    for budget in BUDGETS:
        value = budget.measure(report)
        verdict = budget.verdict(value)
        measured = "-" if value is None else f"{_number(value)} {budget.unit}"
        limit = f"{'≥' if budget.at_least else '≤'} {_number(budget.limit)} {budget.unit}"
        yield budget.what, measured, limit, verdict.upper() if verdict is Verdict.MISSED else verdict


def _latencies(found: Iterable[Latency]) -> str:
    rows = [
        (
            each.name,
            str(each.median.count),
            str(each.median.failed),
            *map(_number, (each.median.p50_ms, each.median.p90_ms, each.median.p99_ms, each.median.max_ms)),
        )
        for each in found
    ]
    return _table(LATENCY_HEAD, rows)


def _ramps(report: Report) -> str:
    rows = [
        (
            f"run {number}: {step.rate}/s",
            str(step.failed),
            *map(_number, (step.p50_ms, step.p99_ms, step.max_ms, step.answered_per_s, step.ended_per_s)),
        )
        for number, run in enumerate(report.runs, 1)
        for step in run.ramp
    ]
    return _table(("", "failed", "p50 ms", "p99 ms", "max ms", "answered/s", "ended/s"), rows)


def _bursts(report: Report) -> str:
    rows = [(each.name, str(each.decisions), str(each.lost), _number(each.per_s)) for each in report.bursts]
    return _table(("", "decided", "lost", "decisions/s"), rows)


def _cpu(report: Report) -> str:
    found = report.runs[-1].cpu_ms
    programs = list(dict.fromkeys(name for used in found.values() for name in used))
    rows = [(load, *(_number(used.get(name, 0.0)) for name in programs)) for load, used in found.items()]
    return _table(("", *programs), rows)


def _rss(report: Report) -> Iterable[Sequence[str]]:
    return [(program, _number(used)) for program, used in report.rss_mib.items()]


def _disturbance(report: Report) -> str:
    lines = []
    for number, run in enumerate(report.runs, 1):
        shares = ", ".join(f"{load} {share:.0%}" for load, share in run.others_share.items())
        lines.append(f"run {number}: generator late p99 {run.late_p99_ms} ms; outside the system: {shares}")
    return "\n".join(lines)


def _section(title: str, body: str) -> str:
    return f"\n{title}\n{'-' * len(title)}\n{body}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [tuple(head), *map(tuple, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(_line(line, widths) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]).rstrip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
