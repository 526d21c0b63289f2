import { keepPreviousData } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { hooks } from "../../api/client";
import { usePolling } from "../../api/polling";
import { clock, count, date, day } from "../../formats/formats";
import { runListTexts } from "../../strings/run-list";
import { Button } from "../../ui/button";
import { SpanChart } from "../../ui/span-chart";
import { Table } from "../../ui/table";
import { countsQuery, type RunCount, type RunCountsQuery, runCounts } from "./run-counts";
import type { RunSearch } from "./run-search";
import styles from "./runs.module.css";

const words = runListTexts.chart;
/** Counts are written every few seconds, and nothing tells of them. */
const POLL_MILLISECONDS = 30_000;

interface RunChartProps {
  search: RunSearch;
  onSearch: (search: RunSearch) => void;
}

/** The calls and failures in the times of the filters; a span that is chosen becomes those times. */
export function RunChart({ search, onSearch }: RunChartProps) {
  const { from, to, deployment, version, key } = search;
  const [now] = useState(() => Date.now());
  const asked = useMemo(() => {
    const times = { ...(from ? { from } : {}), ...(to ? { to } : {}) };
    return countsQuery(times, now);
  }, [from, to, now]);
  const query = {
    ...asked,
    by: "all" as const,
    ...(deployment ? { deployment } : {}),
    ...(version ? { version } : {}),
    ...(key ? { key } : {}),
  };
  const usage = hooks.useQuery(
    "get",
    "/node/usage/",
    { params: { query } },
    { refetchInterval: usePolling(POLL_MILLISECONDS), placeholderData: keepPreviousData },
  );
  const { data } = usage;
  const counts = useMemo(() => (data && data.step !== "none" ? runCounts(data, data.step) : []), [data]);
  const isTimed = from !== undefined || to !== undefined;
  if (!data || data.step === "none" || !(isTimed || data.items.length)) return null;
  const choose = (first: RunCount | undefined, last: RunCount | undefined) => {
    if (!first || !last || usage.isPlaceholderData) return;
    const span = { from: new Date(first.from).toISOString(), to: new Date(last.to).toISOString() };
    onSearch({ ...search, ...span });
  };
  const { from: _, to: __, ...untimed } = search;
  return (
    <section className={styles.chart} aria-label={words.label[data.step]}>
      <div className={styles.chartHead}>
        <p>{sentence(counts, data.step)}</p>
        {isTimed ? (
          <Button look="quiet" onClick={() => onSearch(untimed)}>
            {words.anyTime}
          </Button>
        ) : null}
      </div>
      {search.status || search.code || search.mode || search.min_seconds ? <p>{words.unfiltered}</p> : null}
      <Counts counts={counts} step={data.step} onChoose={choose} />
    </section>
  );
}

interface CountsProps {
  counts: readonly RunCount[];
  step: RunCountsQuery["step"];
  onChoose: (first: RunCount | undefined, last: RunCount | undefined) => void;
}

function Counts({ counts, step, onChoose }: CountsProps) {
  const [isOpen, setOpen] = useState(false);
  const bars = useMemo(
    () => counts.map((one) => ({ all: one.all, failed: one.failed, label: spanOf([one], step) })),
    [counts, step],
  );
  const ends = [counts.at(0)?.from, counts.at(-1)?.to].map((time) => axisLabel(new Date(time ?? 0), step));
  return (
    <>
      <SpanChart
        of={`${counts[0]?.from} ${step}`}
        label={words.label[step] ?? ""}
        keys={words.keys}
        bars={bars}
        axis={ends}
        describe={(first, last) => spanOf(counts.slice(first, last + 1), step)}
        onChoose={(first, last) => onChoose(counts[first], counts[last])}
      />
      <details onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary className={styles.chartSummary}>{words.showTable}</summary>
        {isOpen ? (
          <Table
            label={words.label[step] ?? ""}
            rows={counts.filter(({ all }) => all)}
            keyOf={({ from }) => String(from)}
            columns={[
              { title: words.from, cell: ({ from }) => timeOf(from, step) },
              { title: words.calls, cell: ({ all }) => count(all) },
              { title: words.failed, cell: ({ failed }) => count(failed) },
            ]}
          />
        ) : null}
      </details>
    </>
  );
}

function spanOf(counts: readonly RunCount[], step: RunCountsQuery["step"]): string {
  const { all, failed } = totalOf(counts);
  const from = timeOf(counts.at(0)?.from ?? 0, step);
  return words.span(from, timeOf(counts.at(-1)?.to ?? 0, step), count(all), count(failed));
}

function sentence(counts: readonly RunCount[], step: RunCountsQuery["step"]): string {
  const from = timeOf(counts.at(0)?.from ?? 0, step);
  const to = timeOf(counts.at(-1)?.to ?? 0, step);
  const { all, failed } = totalOf(counts);
  if (!all) return words.none(from, to);
  const peak = counts.reduce((best, one) => (one.all > best.all ? one : best));
  const most = words.peak(count(peak.all), timeOf(peak.from, step));
  return `${words.sentence(count(all), count(failed), from, to)} ${most}`;
}

function totalOf(counts: readonly RunCount[]): { all: number; failed: number } {
  return counts.reduce((sum, { all, failed }) => ({ all: sum.all + all, failed: sum.failed + failed }), {
    all: 0,
    failed: 0,
  });
}

function timeOf(time: number, step: RunCountsQuery["step"]): string {
  return step === "day" ? day(new Date(time)) : date(new Date(time));
}

function axisLabel(time: Date, step: RunCountsQuery["step"]): string {
  return step === "day" ? day(time) : clock(time);
}
