import { type ClipboardEvent, type KeyboardEvent, memo, useMemo, useRef, useState } from "react";
import { type Json, stringifyJson } from "../formats/lossless-json";
import { inputTexts } from "../strings/inputs";
import styles from "./inputs.module.css";
import { readTable } from "./table-text";
import { numberOf } from "./tensor";

interface NumberGridProps {
  label: string;
  rows: readonly Json[][];
  onChange: (rows: Json[][]) => void;
  /** Called with what is wrong with what was typed or pasted; null: nothing is. */
  onProblem: (problem: string | null) => void;
}

type Place = readonly [row: number, column: number];

const SEPARATOR = /[\t\n\r;,]/;

/**
 * A table of numbers with one tab stop: arrows move between its cells, a table that is pasted spreads over them.
 * Pasted into the first cell, it replaces all.
 */
export function NumberGrid({ label, rows, onChange, onProblem }: NumberGridProps) {
  const [active, setActive] = useState<Place>([0, 0]);
  const table = useRef<HTMLTableElement>(null);
  const now = useRef({ rows, onChange, onProblem });
  now.current = { rows, onChange, onProblem };
  const set = useMemo(
    () => (at: number, column: number, text: string) => {
      const number = numberOf(text);
      const { rows, onChange, onProblem } = now.current;
      onProblem(number === undefined ? inputTexts.array.notCell(at + 1, column + 1, text) : null);
      if (number === undefined) return undefined;
      onChange(rows.map((row, index) => (index === at ? row.with(column, number) : row)));
      return number;
    },
    [],
  );
  const cellAt = ([row, column]: Place) =>
    table.current?.rows[row + 1]?.cells[column + 1]?.querySelector("input");
  const go = (event: KeyboardEvent, [row, column]: Place) => {
    event.preventDefault(); // the caret stays, and Enter does not send the form
    const cell = cellAt([row, column]);
    cell?.focus();
    cell?.select();
  };
  const move = (event: KeyboardEvent<HTMLTableElement>) => {
    const [row, column] = active;
    const { selectionStart, selectionEnd, value } = event.target as HTMLInputElement;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "ArrowUp") go(event, [row - 1, column]);
    if (event.key === "ArrowDown") go(event, [row + 1, column]);
    if (event.key === "Enter") go(event, [row + 1, column]);
    if (event.key === "ArrowLeft" && selectionStart === 0) go(event, [row, column - 1]);
    if (event.key === "ArrowRight" && selectionEnd === value.length) go(event, [row, column + 1]);
  };
  const paste = (event: ClipboardEvent) => {
    const text = event.clipboardData.getData("text/plain");
    if (!SEPARATOR.test(text.trim())) return;
    event.preventDefault();
    try {
      const pasted = readTable(text);
      onChange(active[0] === 0 && active[1] === 0 ? pasted : spread(rows, pasted, active));
      onProblem(null);
    } catch (error) {
      onProblem((error as Error).message);
    }
  };
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const [activeRow, activeColumn] = [
    Math.min(active[0], rows.length - 1),
    Math.min(active[1], (rows[Math.min(active[0], rows.length - 1)]?.length ?? 1) - 1),
  ];
  return (
    <div className={styles.scroll}>
      <table ref={table} className={styles.grid} aria-label={label} onKeyDown={move} onPaste={paste}>
        <thead>
          <tr>
            <td />
            {Array.from({ length: columns }, (_, column) => (
              <th key={column} scope="col">
                {column + 1}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, at) => (
            <Row
              key={at}
              row={row}
              at={at}
              active={at === activeRow ? activeColumn : null}
              set={set}
              onActive={setActive}
            />
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface RowProps {
  row: readonly Json[];
  at: number;
  /** The column of the cell that Tab reaches; null: it is in another row. */
  active: number | null;
  set: (row: number, column: number, text: string) => Json | undefined;
  onActive: (place: Place) => void;
}

/** Only the row that is edited is rendered again. */
const Row = memo(function Row({ row, at, active, set, onActive }: RowProps) {
  return (
    <tr>
      <th scope="row">{at + 1}</th>
      {row.map((value, column) => (
        <td key={column}>
          <Cell
            value={value}
            label={inputTexts.array.cell(at + 1, column + 1)}
            isActive={column === active}
            onType={(text) => set(at, column, text)}
            onActive={() => onActive([at, column])}
          />
        </td>
      ))}
    </tr>
  );
});

interface CellProps {
  value: Json;
  label: string;
  isActive: boolean;
  /** Returns the number that the text is. */
  onType: (text: string) => Json | undefined;
  onActive: () => void;
}

function Cell({ value, label, isActive, onType, onActive }: CellProps) {
  // The text is shown while the value is the one that it became, or that it left as it was.
  const [typed, setTyped] = useState<{ text: string; value: Json; isWrong: boolean } | null>(null);
  const current = typed?.value === value ? typed : null;
  return (
    <input
      className={styles.cell}
      inputMode="decimal"
      value={current?.text ?? shown(value)}
      aria-label={label}
      aria-invalid={current?.isWrong ?? false}
      tabIndex={isActive ? 0 : -1}
      onFocus={onActive}
      onChange={(event) => {
        const text = event.target.value;
        const number = onType(text);
        setTyped({ text, value: number ?? value, isWrong: number === undefined });
      }}
    />
  );
}

function shown(value: Json): string {
  return typeof value === "string" ? value : stringifyJson(value);
}

/** Return rows over which a table was spread from a place on; new rows begin with zeros. */
function spread(rows: readonly Json[][], table: readonly Json[][], [top, left]: Place): Json[][] {
  const length = Math.max(rows.length, top + table.length);
  return Array.from({ length }, (_, at) => {
    const row = rows[at] ?? Array.from({ length: left }, () => 0);
    const pasted = table[at - top];
    return pasted ? [...row.slice(0, left), ...pasted, ...row.slice(left + pasted.length)] : [...row];
  });
}
