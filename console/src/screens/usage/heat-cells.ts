import type { components } from "../../api/schema";

export type HeatmapOut = components["schemas"]["HeatmapOut"];

/** Calls of one step of time that took about as long. */
export interface HeatCell {
  column: number;
  row: number;
  calls: number;
}

/** Return the cells with calls, by time. */
export function cellsOf({ counts }: HeatmapOut): HeatCell[] {
  return counts.flatMap((rows, column) =>
    rows.map((calls, row) => ({ column, row, calls })).filter(({ calls }) => calls > 0),
  );
}

export interface HeatSummary {
  all: number;
  /** The row with most calls, and how many those are. */
  most: { row: number; calls: number };
  /** The row of the slowest calls, how many those are, and the column of the last of them. */
  slowest: { row: number; calls: number; column: number };
}

/** Return what a heat map shows, in short; null: no calls. */
export function summaryOf(heatmap: HeatmapOut): HeatSummary | null {
  const cells = cellsOf(heatmap);
  const rows = new Map<number, number>();
  for (const { row, calls } of cells) rows.set(row, (rows.get(row) ?? 0) + calls);
  const [first] = rows;
  if (!first) return null;
  const most = [...rows].reduce((best, row) => (row[1] > best[1] ? row : best), first);
  const slow = Math.max(...rows.keys());
  return {
    all: cells.reduce((sum, { calls }) => sum + calls, 0),
    most: { row: most[0], calls: most[1] },
    slowest: {
      row: slow,
      calls: rows.get(slow) ?? 0,
      column: Math.max(...cells.filter(({ row }) => row === slow).map(({ column }) => column)),
    },
  };
}
