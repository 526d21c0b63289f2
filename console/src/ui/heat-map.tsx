import { type CSSProperties, type KeyboardEvent, memo, type PointerEvent, useId, useState } from "react";
import styles from "./heat-map.module.css";

export interface HeatMapProps {
  label: string;
  /** How it is used by keyboard. */
  keys: string;
  /** For each column, the number of each row, the lowest first. */
  counts: readonly (readonly number[])[];
  /** What stands beside the lower edges of rows, and below the first, middle and last column. */
  rowLabels: readonly string[];
  columnLabels: readonly string[];
  /** A cell in words. */
  describe: (column: number, row: number) => string;
}

interface Place {
  column: number;
  row: number;
}

const PAGE = 10;
/** Rows from one label of the axis to the next. */
const LABELLED = 2;
/** Of the colour, for a cell with anything in it. */
const LEAST_SHARE = 0.18;

/**
 * A grid of shades. It has one tab stop: arrow keys go from cell to cell, and the cell that the keyboard or the
 * pointer is at is described below it.
 */
export function HeatMap({ label, keys, counts, rowLabels, columnLabels, describe }: HeatMapProps) {
  const id = useId();
  const [active, setActive] = useState<Place | null>(null);
  const [pointed, setPointed] = useState<Place | null>(null);
  const rows = counts[0]?.length ?? 0;
  const largest = Math.max(...counts.flat(), 1);
  const at = active && active.column < counts.length && active.row < rows ? active : null;
  const go = (column: number, row: number) =>
    setActive({ column: within(column, counts.length), row: within(row, rows) });
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.altKey || event.metaKey) return;
    const { column, row } = at ?? highestOf(counts);
    const moves: Record<string, readonly [number, number]> = {
      ArrowLeft: [column - 1, row],
      ArrowRight: [column + 1, row],
      ArrowUp: [column, row + 1],
      ArrowDown: [column, row - 1],
      PageUp: [column, row + PAGE],
      PageDown: [column, row - PAGE],
      Home: [0, event.ctrlKey ? rows : row],
      End: [counts.length, event.ctrlKey ? 0 : row],
    };
    const move = moves[event.key];
    if (!move) return;
    go(...move);
    event.preventDefault();
  };
  const shown = pointed ?? at;
  return (
    <div className={styles.frame}>
      <p id={`${id}-keys`} className={styles.hidden}>
        {keys}
      </p>
      <div className={styles.map}>
        <div className={styles.rowLabels} aria-hidden>
          {rowLabels.map((text, row) => (row % LABELLED === 0 ? <span key={row}>{text}</span> : null))}
        </div>
        <div
          role="grid"
          tabIndex={0}
          aria-label={label}
          aria-describedby={`${id}-keys`}
          aria-rowcount={rows}
          aria-colcount={counts.length}
          aria-activedescendant={at ? cellId(id, at.column, at.row) : undefined}
          className={styles.grid}
          onKeyDown={onKeyDown}
          onFocus={() => at ?? setActive(highestOf(counts))}
          onPointerOver={(event) => setPointed(placeOf(event))}
          onPointerLeave={() => setPointed(null)}
          onClick={(event) => setActive(placeOf(event) ?? at)}
        >
          {Array.from({ length: rows }, (_, below) => rows - 1 - below).map((row) => (
            <Row
              key={row}
              id={id}
              row={row}
              counts={counts}
              largest={largest}
              describe={describe}
              active={at?.row === row ? at.column : null}
            />
          ))}
        </div>
        <div className={styles.columnLabels} aria-hidden>
          {columnLabels.map((text, at) => (
            <span key={at}>{text}</span>
          ))}
        </div>
      </div>
      <p className={styles.shown} aria-hidden={!shown}>
        {shown ? describe(shown.column, shown.row) : keys}
      </p>
    </div>
  );
}

interface RowProps extends Pick<HeatMapProps, "counts" | "describe"> {
  id: string;
  row: number;
  largest: number;
  /** The column that the keyboard is at. */
  active: number | null;
}

const Row = memo(function Row({ id, row, counts, largest, describe, active }: RowProps) {
  return (
    <div role="row" className={styles.row}>
      {counts.map((column, at) => {
        const number = column[row] ?? 0;
        return (
          <div
            key={at}
            id={cellId(id, at, row)}
            role="gridcell"
            aria-label={describe(at, row)}
            data-place={`${at} ${row}`}
            data-active={at === active || undefined}
            className={number ? `${styles.cell} ${styles.full}` : styles.cell}
            style={number ? shade(number, largest) : undefined}
          />
        );
      })}
    </div>
  );
});

/** By the logarithm: a few slow calls beside thousands of fast ones are to be seen. */
function shade(number: number, largest: number): CSSProperties {
  const share = LEAST_SHARE + (1 - LEAST_SHARE) * (Math.log1p(number) / Math.log1p(largest));
  return { "--share": `${Math.round(share * 100)}%` } as CSSProperties;
}

function cellId(id: string, column: number, row: number): string {
  return `${id}-${column}-${row}`;
}

function placeOf(event: Pick<PointerEvent, "target">): Place | null {
  const place = event.target instanceof HTMLElement ? event.target.dataset["place"] : undefined;
  const [column, row] = place?.split(" ").map(Number) ?? [];
  return column === undefined || row === undefined ? null : { column, row };
}

function within(value: number, length: number): number {
  return Math.max(0, Math.min(value, length - 1));
}

/** The cell with the largest number. */
function highestOf(counts: readonly (readonly number[])[]): Place {
  let best = { column: 0, row: 0 };
  let most = 0;
  for (const [column, numbers] of counts.entries())
    for (const [row, number] of numbers.entries())
      if (number > most) {
        most = number;
        best = { column, row };
      }
  return best;
}
