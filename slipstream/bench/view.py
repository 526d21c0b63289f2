"""How a load is shown: progress while it runs; then a table, notes and histograms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from slipstream.bench.histogram import HistogramBucket
from slipstream.bench.plan import LoadPlan
from slipstream.bench.result import FailureCount, LatencyPercentiles, LoadProgress, LoadResult

_BUSY = 0.8
"""Share of a core above which the generator itself may limit the rate."""
_MAX_HISTOGRAMS = 3
_BAR_COLUMNS = 40
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


class ProgressView:
    """A progress bar for each number of connections; a line each where there is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[status]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks: dict[LoadPlan, TaskID] = {}

    def __enter__(self) -> Self:
        """Start to draw."""
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the bars: the table has the same figures."""
        self._bars.stop()

    def begin(self, plan: LoadPlan) -> None:
        """Show that a load starts."""
        title = connections(plan.connections)
        if not self._console.is_terminal:
            self._console.print(f"Measuring with {title} for {plan.seconds:g} s")
        self._tasks[plan] = self._bars.add_task(title, total=plan.seconds, status="starting")

    def update(self, plan: LoadPlan, progress: LoadProgress) -> None:
        """Show how far a load is."""
        if progress.warming_up:
            self._bars.update(self._tasks[plan], status="warming up")
            return
        status = f"{progress.seconds:4.1f} of {plan.seconds:g} s"
        status += f"  {progress.answered / max(progress.seconds, 1e-3):9,.0f} req/s"
        if progress.p50_seconds is not None:
            status += f"  p50 {duration(progress.p50_seconds)}"
        if progress.failed:
            status += f"  [red]{progress.failed:,} failed[/]"
        self._bars.update(self._tasks[plan], completed=progress.seconds, status=status)


def report(results: Sequence[LoadResult], *, local: bool) -> Iterator[RenderableType]:
    """Yield the whole report; `local` means that the server was on this machine too."""
    yield _table(results)
    yield ""
    yield from _notes(results, local=local)
    shown = [result for result in results if result.histogram]
    if len(shown) > _MAX_HISTOGRAMS:
        shown = [shown[0], shown[-1]]
    for result in shown:
        yield ""
        yield _histogram(result)


def connections(number: int) -> str:
    """Return `1 connection`, `16 connections`."""
    return f"{number:,} connection{'s' * (number != 1)}"


def duration(seconds: float) -> str:
    """Return a time with three digits, such as `2.72 ms`, in whole microseconds below that."""
    # 999.7 µs would round to four digits: it is shown as 1.00 ms.
    scale, unit = next((u for u in _UNITS if seconds >= u[0] * 0.9995), _UNITS[-1])
    value = seconds / scale
    if unit == "µs":
        return f"{value:.0f} µs"
    digits = 2 - (value >= 9.995) - (value >= 99.95)  # noqa: PLR2004 - rounding to 3 digits
    return f"{value:.{digits}f} {unit}"


def _table(results: Sequence[LoadResult]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    has_model = any(result.model_seconds for result in results)
    columns = ["connections", "req/s", "p50", "p90", "p99", "max", "failed"]
    for column in [*columns, *(["model", "queue", "overhead"] if has_model else [])]:
        table.add_column(column, justify="right", no_wrap=True)
    for result in results:
        cells = [f"{result.connections:,}", _rate(result.per_second)]
        cells += _percentiles(result.latency_seconds)
        cells.append(f"[red]{result.failed:,}[/]" if result.failed else "0")
        table.add_row(*cells, *(_model(result) if has_model else []))
    return table


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f}" if per_second >= 10 else f"{per_second:.2g}"  # noqa: PLR2004


def _percentiles(latency: LatencyPercentiles | None) -> list[str]:
    if latency is None:
        return ["-"] * 4
    return [duration(at) for at in (latency.p50, latency.p90, latency.p99, latency.max)]


def _model(result: LoadResult) -> list[str]:
    model = result.model_seconds
    if model is None or result.overhead_seconds is None or result.overhead_share is None:
        return ["-"] * 3
    return [
        duration(model.infer),
        "-" if model.queue is None else duration(model.queue),
        f"{duration(result.overhead_seconds)} ({result.overhead_share:.0%})",
    ]


def _notes(results: Sequence[LoadResult], *, local: bool) -> Iterator[Text]:
    if any(result.model_seconds for result in results):
        sources = "model, queue: medians of the server's own figures (Server-Timing)."
        yield Text(f"{sources} overhead: p50 without the model.", "dim")
    used = max((result.generator_cpu for result in results), default=0.0)
    where = ", on the same machine as the server" if local else ""
    yield Text(f"The load generator took up to {used:.0%} of one core{where}.", "dim")
    for result in results:
        yield from _warnings(result)


def _warnings(result: LoadResult) -> Iterator[Text]:
    title = connections(result.connections)
    for failure in result.failures:
        yield Text(f"{title}: {failure.count:,} failed: {_failure(failure)}", "red")
    if _has_hanging_calls(result):
        waits = f"{result.waiting:,} calls had no answer at the end"
        longest = duration(result.longest_wait_seconds)
        text = f"{title}: {waits}, the oldest after {longest}: use a longer --seconds"
        yield Text(text, "yellow")
    if result.generator_cpu >= _BUSY:
        busy = f"the generator was busy for {result.generator_cpu:.0%} of the time"
        yield Text(f"{title}: {busy}: the server may be capable of more", "yellow")


def _has_hanging_calls(result: LoadResult) -> bool:
    """Whether a call waited longer than any answer took, and for a tenth of the measurement."""
    slowest = result.latency_seconds.max if result.latency_seconds else 0.0
    return result.longest_wait_seconds > max(slowest, result.seconds / 10)


def _failure(failure: FailureCount) -> str:
    return " ".join(str(part) for part in (failure.status, failure.code) if part is not None)


def _histogram(result: LoadResult) -> Text:
    lines = [Text(f"{connections(result.connections)}, {result.answered:,} answers", "bold")]
    spans = [_span(bucket) for bucket in result.histogram]
    width = max(len(span) for span in spans)
    largest = max(bucket.count for bucket in result.histogram)
    for span, bucket in zip(spans, result.histogram, strict=True):
        line = Text(f"{span:>{width}}  {_share(bucket.count / result.answered):>6}  ")
        line.append(_bar(bucket.count / largest), "cyan")
        names = [name for name, at in _marks(result).items() if _contains(bucket, at)]
        lines.append(line.append(f" {' '.join(names)}" if names else "", "bold"))
    return Text("\n").join(lines)


def _marks(result: LoadResult) -> dict[str, float]:
    latency = result.latency_seconds
    return {"p50": latency.p50, "p90": latency.p90, "p99": latency.p99} if latency else {}


def _contains(bucket: HistogramBucket, seconds: float) -> bool:
    return bucket.from_seconds <= seconds < bucket.below_seconds


def _share(share: float) -> str:
    return "<0.1%" if 0 < share < 0.0005 else f"{share:.1%}"  # noqa: PLR2004 - what rounds to 0.0%


def _span(bucket: HistogramBucket) -> str:
    low, high = _bound(bucket.from_seconds), _bound(bucket.below_seconds)
    if low[1] == high[1]:
        return f"{low[0]} - {' '.join(high)}"
    return f"{' '.join(low)} - {' '.join(high)}"


def _bound(seconds: float) -> tuple[str, str]:
    scale, unit = next((unit for unit in _UNITS if seconds >= unit[0]), _UNITS[-1])
    return f"{seconds / scale:.3g}", unit


def _bar(share: float) -> str:
    """Return a bar; any share above 0 shows at least an eighth of a column."""
    eighths = round(share * _BAR_COLUMNS * 8) or (share > 0)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
