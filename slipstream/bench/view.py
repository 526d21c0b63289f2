"""Results for people: a table, what is to be said about it, and histograms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from slipstream.bench.histogram import Bucket
from slipstream.bench.result import Failure, Latency, Result

_BUSY = 0.8
"""Share of a core from which on the generator itself may be what limits the rate."""
_MOST_HISTOGRAMS = 3
_BAR_COLUMNS = 40
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def report(results: Sequence[Result], *, local: bool) -> Iterator[RenderableType]:
    """Yield everything there is to see; `local` says that what was called ran on this machine."""
    yield _table(results)
    yield ""
    yield from _notes(results, local=local)
    shown = [result for result in results if result.histogram]
    if len(shown) > _MOST_HISTOGRAMS:
        shown = [shown[0], shown[-1]]
    for result in shown:
        yield ""
        yield _histogram(result)


def connections(number: int) -> str:
    """Return the number with its noun."""
    return f"{number:,} connection{'s' * (number != 1)}"


def duration(seconds: float) -> str:
    """Return a time with three digits, such as `2.72 ms`; nothing below a microsecond."""
    # 999.7 µs has no three digits: it is 1.00 ms.
    scale, unit = next((u for u in _UNITS if seconds >= u[0] * 0.9995), _UNITS[-1])
    value = seconds / scale
    if unit == "µs":
        return f"{value:.0f} µs"
    digits = 2 - (value >= 9.995) - (value >= 99.95)  # noqa: PLR2004 - rounding to 3 digits
    return f"{value:.{digits}f} {unit}"


def _table(results: Sequence[Result]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    modelled = any(result.model_seconds for result in results)
    columns = ["connections", "req/s", "p50", "p90", "p99", "max", "failed"]
    for column in [*columns, *(["model", "queue", "overhead"] if modelled else [])]:
        table.add_column(column, justify="right", no_wrap=True)
    for result in results:
        cells = [f"{result.connections:,}", _rate(result.per_second)]
        cells += _percentiles(result.latency_seconds)
        cells.append(f"[red]{result.failed:,}[/]" if result.failed else "0")
        table.add_row(*cells, *(_model(result) if modelled else []))
    return table


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f}" if per_second >= 10 else f"{per_second:.2g}"  # noqa: PLR2004


def _percentiles(latency: Latency | None) -> list[str]:
    if latency is None:
        return ["-"] * 4
    return [duration(at) for at in (latency.p50, latency.p90, latency.p99, latency.max)]


def _model(result: Result) -> list[str]:
    model = result.model_seconds
    if model is None or result.overhead_seconds is None or result.overhead_share is None:
        return ["-"] * 3
    return [
        duration(model.infer),
        "-" if model.queue is None else duration(model.queue),
        f"{duration(result.overhead_seconds)} ({result.overhead_share:.0%})",
    ]


def _notes(results: Sequence[Result], *, local: bool) -> Iterator[Text]:
    if any(result.model_seconds for result in results):
        said = "model, queue: medians of what the server says (Server-Timing)."
        yield Text(f"{said} overhead: p50 without the model.", "dim")
    used = max((result.generator_cpu for result in results), default=0.0)
    beside = ", on the same machine as the server" if local else ""
    yield Text(f"The load generator took up to {used:.0%} of one core{beside}.", "dim")
    for result in results:
        yield from _warnings(result)


def _warnings(result: Result) -> Iterator[Text]:
    title = connections(result.connections)
    for failure in result.failures:
        yield Text(f"{title}: {failure.count:,} failed: {_failure(failure)}", "red")
    if _hangs(result):
        waits = f"{result.waiting:,} calls had no answer in the end"
        longest = duration(result.longest_wait_seconds)
        yield Text(f"{title}: {waits}, the oldest for {longest}: --seconds is short", "yellow")
    if result.generator_cpu >= _BUSY:
        busy = f"the generator was busy for {result.generator_cpu:.0%} of the time"
        yield Text(f"{title}: {busy}: the server may be able to answer more", "yellow")


def _hangs(result: Result) -> bool:
    """Whether a call had waited longer than any answer took, and for a good part of the time."""
    slowest = result.latency_seconds.max if result.latency_seconds else 0.0
    return result.longest_wait_seconds > max(slowest, result.seconds / 10)


def _failure(failure: Failure) -> str:
    return " ".join(str(part) for part in (failure.status, failure.code) if part is not None)


def _histogram(result: Result) -> Text:
    lines = [Text(f"{connections(result.connections)}, {result.answered:,} answers", "bold")]
    spans = [_span(bucket) for bucket in result.histogram]
    wide = max(len(span) for span in spans)
    most = max(bucket.count for bucket in result.histogram)
    for span, bucket in zip(spans, result.histogram, strict=True):
        line = Text(f"{span:>{wide}}  {_share(bucket.count / result.answered):>6}  ")
        line.append(_bar(bucket.count / most), "cyan")
        names = [name for name, at in _marks(result).items() if _holds(bucket, at)]
        lines.append(line.append(f" {' '.join(names)}" if names else "", "bold"))
    return Text("\n").join(lines)


def _marks(result: Result) -> dict[str, float]:
    latency = result.latency_seconds
    return {"p50": latency.p50, "p90": latency.p90, "p99": latency.p99} if latency else {}


def _holds(bucket: Bucket, seconds: float) -> bool:
    return bucket.from_seconds <= seconds < bucket.below_seconds


def _share(share: float) -> str:
    return "<0.1%" if 0 < share < 0.0005 else f"{share:.1%}"  # noqa: PLR2004 - what rounds to 0.0%


def _span(bucket: Bucket) -> str:
    least, below = _bound(bucket.from_seconds), _bound(bucket.below_seconds)
    if least[1] == below[1]:
        return f"{least[0]} - {' '.join(below)}"
    return f"{' '.join(least)} - {' '.join(below)}"


def _bound(seconds: float) -> tuple[str, str]:
    scale, unit = next((unit for unit in _UNITS if seconds >= unit[0]), _UNITS[-1])
    return f"{seconds / scale:.3g}", unit


def _bar(share: float) -> str:
    """Return a bar; what is not nothing is seen."""
    eighths = round(share * _BAR_COLUMNS * 8) or (share > 0)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
