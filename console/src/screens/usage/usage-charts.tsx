import { lazy, Suspense, useMemo } from "react";
import { count, date, duration } from "../../formats/formats";
import { t } from "../../strings";
import { usageTexts } from "../../strings/usage";
import type { ChartProps, Mark } from "../../ui/chart";
import { Skeleton } from "../../ui/loading";
import { Section } from "../../ui/page";
import { Table } from "../../ui/table";
import styles from "./usage.module.css";
import { peakOf, STAGES, type UsageStep } from "./usage-rows";

const COLORS = ["--rest", "--draft", "--warn", "--good", "--accent"] as const;

const Chart = lazy(async () => ({ default: (await import("../../ui/chart")).Chart }));

interface ChartsProps {
  steps: readonly UsageStep[];
  /** The times of the axis. */
  query: { from: string; to: string };
  marks?: readonly Mark[];
}

const NO_MARKS: readonly Mark[] = [];

/** Calls and durations over time, each with its sentence and its table. */
export function UsageCharts({ steps, query: { from, to }, marks = NO_MARKS }: ChartsProps) {
  const between = useMemo(() => [Date.parse(from) / 1000, Date.parse(to) / 1000] as const, [from, to]);
  const times = useMemo(() => steps.map(({ from }) => Date.parse(from) / 1000), [steps]);
  const calls = useMemo<ChartProps>(
    () => ({
      sentence: callsSentence(steps),
      times,
      between,
      format: count,
      marks,
      series: [
        { label: usageTexts.calls, color: "--accent", values: steps.map((step) => step.calls) },
        { label: usageTexts.errors, color: "--bad", values: steps.map((step) => step.errors), dash: [6, 4] },
      ],
    }),
    [steps, times, between, marks],
  );
  const durations = useMemo<ChartProps>(
    () => ({
      sentence: timesSentence(steps),
      times,
      between,
      format: duration,
      marks,
      series: [
        { label: usageTexts.p50, color: "--good", values: steps.map(({ p50 }) => p50), dash: [2, 3] },
        { label: usageTexts.p95, color: "--accent", values: steps.map(({ p95 }) => p95) },
        { label: usageTexts.p99, color: "--draft", values: steps.map(({ p99 }) => p99), dash: [6, 4] },
      ],
    }),
    [steps, times, between, marks],
  );
  const present = useMemo(
    () => STAGES.filter((stage) => steps.some(({ stages }) => stage in stages)),
    [steps],
  );
  const stages = useMemo<ChartProps>(
    () => ({
      sentence: stagesSentence(steps, present),
      times,
      between,
      format: duration,
      marks,
      isStacked: true,
      series: present.map((stage, at) => ({
        label: stage,
        color: COLORS[at % COLORS.length] ?? "--accent",
        values: steps.map((step) => step.stages[stage] ?? null),
      })),
    }),
    [steps, present, times, between, marks],
  );
  const stageColumns = present.map((stage) => ({
    title: stage,
    cell: (step: UsageStep) => secondsOf(step.stages[stage] ?? null),
  }));
  return (
    <>
      <Section title={usageTexts.callsChart}>
        <Figure chart={calls} />
        <StepTable label={usageTexts.callsChart} steps={steps} columns={CALLS} />
      </Section>
      <Section title={usageTexts.timesChart}>
        <Figure chart={durations} />
        <StepTable label={usageTexts.timesChart} steps={steps} columns={DURATIONS} />
      </Section>
      {present.length ? (
        <Section title={usageTexts.stagesChart}>
          <Figure chart={stages} />
          <StepTable label={usageTexts.stagesChart} steps={steps} columns={stageColumns} />
        </Section>
      ) : null}
    </>
  );
}

function Figure({ chart }: { chart: ChartProps }) {
  return (
    <>
      <p className={styles.sentence}>{chart.sentence}</p>
      <Suspense fallback={<Skeleton rows={5} />}>
        <Chart {...chart} />
      </Suspense>
    </>
  );
}

interface StepTableProps {
  label: string;
  steps: readonly UsageStep[];
  columns: readonly { title: string; cell: (step: UsageStep) => string }[];
}

function StepTable({ label, steps, columns }: StepTableProps) {
  return (
    <details>
      <summary className={styles.summary}>{usageTexts.showTable}</summary>
      <Table label={label} rows={steps} keyOf={({ from }) => from} columns={[TIME, ...columns]} />
    </details>
  );
}

const TIME = { title: usageTexts.from, cell: ({ from }: UsageStep) => timeOf(from) };
const CALLS = [
  { title: usageTexts.calls, cell: ({ calls }: UsageStep) => count(calls) },
  { title: usageTexts.errors, cell: ({ errors }: UsageStep) => count(errors) },
];
const DURATIONS = (["p50", "p95", "p99"] as const).map((name) => ({
  title: usageTexts[name],
  cell: (step: UsageStep) => secondsOf(step[name]),
}));

function callsSentence(steps: readonly UsageStep[]): string {
  const total = (value: (step: UsageStep) => number) => steps.reduce((sum, step) => sum + value(step), 0);
  const peak = peakOf(steps, ({ calls }) => calls);
  if (!peak) return usageTexts.noneAtAll;
  const errors = total((step) => step.errors);
  return usageTexts.callsSentence(
    count(total(({ calls }) => calls)),
    count(errors),
    count(peak.calls),
    timeOf(peak.from),
  );
}

function timesSentence(steps: readonly UsageStep[]): string {
  const timed = steps.filter(({ p95 }) => p95 !== null);
  const peak = peakOf(timed, ({ p95 }) => p95);
  if (!peak) return usageTexts.noneAtAll;
  return usageTexts.timesSentence(
    secondsOf(peak.p95),
    timeOf(peak.from),
    secondsOf(timed[0]?.p95 ?? null),
    secondsOf(timed.at(-1)?.p95 ?? null),
  );
}

/** The stage whose median is the largest in most steps. */
function stagesSentence(steps: readonly UsageStep[], stages: readonly string[]): string {
  const timed = steps.filter((step) => Object.keys(step.stages).length > 0);
  const largest = timed.map((step) => peakOf(stages, (stage) => step.stages[stage] ?? null) ?? "");
  const often = (stage: string) => largest.filter((one) => one === stage).length;
  const most = peakOf(stages, often);
  if (most === undefined) return usageTexts.noneAtAll;
  return usageTexts.stagesSentence(most, often(most), timed.length);
}

function secondsOf(seconds: number | null): string {
  return seconds === null ? t.common.unknown : duration(seconds);
}

function timeOf(iso: string): string {
  return date(new Date(iso));
}
