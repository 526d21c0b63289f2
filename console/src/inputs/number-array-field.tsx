import { Minus, Plus } from "lucide-react";
import { memo, type ReactNode, useMemo, useState } from "react";
import { count } from "../formats/formats";
import { ExactNumber, type Json } from "../formats/lossless-json";
import { figures, numberArray } from "../formats/number-array";
import { inputTexts } from "../strings/inputs";
import { Button } from "../ui/button";
import { Menu } from "../ui/menu";
import { ARRAY_FILES, readArrayFile } from "./array-file";
import { FileDrop } from "./file-drop";
import styles from "./inputs.module.css";
import { NumberGrid } from "./number-grid";
import { isSound } from "./sound";
import { SoundDrop } from "./sound-drop";
import {
  countOf,
  FILLS,
  type Fill,
  filled,
  fitted,
  MAX_NUMBERS,
  shapeOf,
  shapeProblem,
  shapeToFill,
  sizes,
  type Tensor,
} from "./tensor";

/** A longer side is not shown as a table. */
const MAX_SIDE = 50;

interface NumberArrayFieldProps {
  name: string;
  tensor: Tensor;
  value: Json | undefined;
  onChange: (value: Json) => void;
  /** Bytes that a body may have. */
  limit: number;
  children?: ReactNode;
}

/** An array of numbers: what is known of it, tools that fill it, and while it is small a table. */
export const NumberArrayField = memo(function NumberArrayField(props: NumberArrayFieldProps) {
  const { name, tensor, value, onChange, limit, children } = props;
  const [problem, setProblem] = useState<string | null>(null);
  const wrong = useMemo(
    () => (value === undefined ? null : shapeProblem(value, tensor.shape)),
    [value, tensor],
  );
  const grid = useMemo(() => (value === undefined ? null : gridOf(value)), [value]);
  const take = (array: Json) => {
    setProblem(null);
    onChange(fitted(array, tensor.shape));
  };
  const open = (file: File) =>
    readArrayFile(file, name, limit).then(take, (error: Error) => setProblem(error.message));
  const fill = (how: Fill) => {
    const shape = shapeToFill(value ?? null, tensor.shape);
    const total = countOf(shape);
    if (total > MAX_NUMBERS) setProblem(inputTexts.array.tooMany(count(total), count(MAX_NUMBERS)));
    else take(filled(how, shape, tensor.datatype, Math.random));
  };
  const setRows = (rows: Json[][]) => grid && onChange(fitted(grid.wrap(rows), tensor.shape));
  const errors = [wrong, problem].filter((one) => one !== null);
  return (
    <fieldset className={styles.array}>
      <legend className={styles.legend}>{name}</legend>
      <Expected tensor={tensor} />
      {children}
      <Summary value={value} />
      <FileDrop
        label={inputTexts.array.file(name)}
        choose={inputTexts.array.choose}
        hint={inputTexts.array.drop}
        accept={ARRAY_FILES}
        onFile={open}
      >
        <Menu
          trigger={<Button aria-label={`${inputTexts.array.fill} ${name}`}>{inputTexts.array.fill}</Button>}
          actions={FILLS.map((one) => ({ label: inputTexts.array.fills[one], onSelect: () => fill(one) }))}
        />
      </FileDrop>
      {isSound(tensor) ? (
        <SoundDrop name={name} tensor={tensor} onSamples={take} onProblem={setProblem} />
      ) : null}
      {grid?.rows.length ? (
        <NumberGrid
          label={inputTexts.array.grid(name)}
          rows={grid.rows}
          onChange={setRows}
          onProblem={setProblem}
        />
      ) : null}
      {grid && hasRows(tensor) ? (
        <div className={styles.tools}>
          <Button onClick={() => setRows([...grid.rows, newRow(grid.rows, tensor)])}>
            <Plus size={14} aria-hidden />
            {inputTexts.array.addRow}
          </Button>
          <Button disabled={grid.rows.length < 2} onClick={() => setRows(grid.rows.slice(0, -1))}>
            <Minus size={14} aria-hidden />
            {inputTexts.array.removeRow}
          </Button>
        </div>
      ) : null}
      {value !== undefined && !grid && wrong === null ? (
        <p className={styles.hint}>{inputTexts.array.large}</p>
      ) : null}
      <div role="status">
        {errors.map((error) => (
          <p key={error} className={styles.error}>
            {error}
          </p>
        ))}
      </div>
    </fieldset>
  );
});

function Expected({ tensor: { datatype, shape } }: { tensor: Tensor }) {
  return <p className={styles.summary}>{inputTexts.array.expects(shape ? sizes(shape) : null, datatype)}</p>;
}

/** The shape with minimum, mean and maximum; nothing for what has no shape, of which an error tells. */
function Summary({ value }: { value: Json | undefined }) {
  const known = useMemo(() => summaryOf(value), [value]);
  return known === null ? null : <p className={styles.summary}>{known}</p>;
}

function summaryOf(value: Json | undefined): string | null {
  const shape = value === undefined ? [0] : shapeOf(value);
  if (value === undefined || shape?.includes(0)) return inputTexts.array.empty;
  const numbers = numberArray(value);
  if (!numbers) return shape && sizes(shape);
  const [min, mean, max] = [numbers.min, numbers.mean, numbers.max].map(figures);
  return `${sizes(numbers.shape)} · ${inputTexts.array.stats(min ?? "", mean ?? "", max ?? "")}`;
}

interface Grid {
  rows: Json[][];
  /** Return the array with other rows. */
  wrap: (rows: Json[][]) => Json;
}

/** Return an array of small size as rows; dimensions of size 1 in front are left out. */
function gridOf(value: Json): Grid | null {
  if (!Array.isArray(value) || value.length > MAX_SIDE) return null;
  if (value.every(isScalar))
    return {
      rows: value.length ? [value] : [],
      wrap: (rows) => (rows.length === 1 ? (rows[0] ?? []) : rows),
    };
  if (value.every(isRow)) return { rows: value, wrap: (rows) => rows };
  const inner = value.length === 1 ? gridOf(value[0] ?? null) : null;
  return inner && { rows: inner.rows, wrap: (rows) => [inner.wrap(rows)] };
}

function isScalar(value: Json): boolean {
  return typeof value !== "object" || value instanceof ExactNumber;
}

function isRow(value: Json): value is Json[] {
  return Array.isArray(value) && value.length <= MAX_SIDE && value.every(isScalar);
}

/** Whether the signature allows any number of rows. */
function hasRows({ shape }: Tensor): boolean {
  const rows = shape?.at(-2);
  return rows !== undefined && rows < 0;
}

function newRow(rows: readonly Json[][], { shape }: Tensor): Json[] {
  const last = shape?.at(-1) ?? -1;
  return Array.from({ length: last >= 0 ? last : (rows[0]?.length ?? 1) }, () => 0);
}
