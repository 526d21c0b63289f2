import { useCallback, useMemo, useState } from "react";
import { hooks } from "../../api/client";
import { clock, count, date, day, duration } from "../../formats/formats";
import { usageTexts } from "../../strings/usage";
import { HeatMap } from "../../ui/heat-map";
import { Loaded } from "../../ui/loading";
import { Section } from "../../ui/page";
import { Table } from "../../ui/table";
import { cellsOf, type HeatmapOut, summaryOf } from "./heat-cells";
import { ofMinuteBefore, type queryOf } from "./range";
import styles from "./usage.module.css";

interface UsageHeatMapProps {
  query: ReturnType<typeof queryOf>;
  /** One of them; none: all. */
  deployment?: string;
}

/** How many calls took how long, over time. */
export function UsageHeatMap({ query, deployment }: UsageHeatMapProps) {
  const asked = { ...query, ...(deployment ? { deployment } : {}) };
  const heatmap = hooks.useQuery(
    "get",
    "/node/usage/heatmap/",
    { params: { query: asked } },
    { placeholderData: ofMinuteBefore(asked) },
  );
  return (
    <Loaded query={heatmap} rows={6}>
      {(found) => <Shown heatmap={found} isByDay={query.step === "day"} />}
    </Loaded>
  );
}

function Shown({ heatmap, isByDay }: { heatmap: HeatmapOut; isByDay: boolean }) {
  const { times, bounds_seconds: bounds, counts } = heatmap;
  const labels = useMemo(
    () => ({
      times: times.map((time) => (isByDay ? day(new Date(time)) : date(new Date(time)))),
      bounds: bounds.map(duration),
    }),
    [times, bounds, isByDay],
  );
  const describe = useCallback(
    (column: number, row: number) =>
      usageTexts.heatMapCell(
        labels.times[column] ?? "",
        labels.bounds[row] ?? "",
        labels.bounds[row + 1] ?? "",
        count(counts[column]?.[row] ?? 0),
      ),
    [labels, counts],
  );
  const summary = summaryOf(heatmap);
  if (!summary) return null;
  const { all, most, slowest } = summary;
  const range = (row: number) => [labels.bounds[row] ?? "", labels.bounds[row + 1] ?? ""] as const;
  const middle = Math.floor((times.length - 1) / 2);
  const axis = [...new Set([0, middle, times.length - 1])].map((at) => new Date(times[at] ?? ""));
  return (
    <Section title={usageTexts.heatMap}>
      <p className={styles.sentence}>
        {usageTexts.heatMapSentence(count(most.calls), count(all), ...range(most.row))}{" "}
        {usageTexts.heatMapSlowest(
          count(slowest.calls),
          ...range(slowest.row),
          labels.times[slowest.column] ?? "",
        )}
      </p>
      <HeatMap
        label={usageTexts.heatMap}
        keys={usageTexts.heatMapKeys}
        counts={counts}
        rowLabels={labels.bounds.slice(0, -1)}
        columnLabels={axis.map(isByDay ? day : clock)}
        describe={describe}
      />
      <CellTable heatmap={heatmap} labels={labels} />
    </Section>
  );
}

interface CellTableProps {
  heatmap: HeatmapOut;
  labels: { times: readonly string[]; bounds: readonly string[] };
}

/** The cells with calls. There may be hundreds: they are made when they are asked for. */
function CellTable({ heatmap, labels }: CellTableProps) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary className={styles.summary}>{usageTexts.showTable}</summary>
      {isOpen ? (
        <Table
          label={usageTexts.heatMap}
          rows={cellsOf(heatmap)}
          keyOf={({ column, row }) => `${column} ${row}`}
          columns={[
            { title: usageTexts.from, cell: ({ column }) => labels.times[column] },
            {
              title: usageTexts.took,
              cell: ({ row }) => usageTexts.tookOf(labels.bounds[row] ?? "", labels.bounds[row + 1] ?? ""),
            },
            { title: usageTexts.calls, cell: ({ calls }) => count(calls) },
          ]}
        />
      ) : null}
    </details>
  );
}
