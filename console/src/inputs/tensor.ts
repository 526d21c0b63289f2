import { ExactNumber, isObject, type Json } from "../formats/lossless-json";
import { inputTexts } from "../strings/inputs";

/** Which tensor a value becomes; a size of -1 is any. */
export interface Tensor {
  /** Null: the schema says only that it holds numbers. */
  datatype: string | null;
  /** Null: any. */
  shape: readonly number[] | null;
}

/** Return the lengths of nested arrays; null: some of one depth differ, or an element is no scalar. */
export function shapeOf(value: Json): number[] | null {
  const shape: number[] = [];
  for (let inner: Json | undefined = value; Array.isArray(inner); inner = inner[0]) shape.push(inner.length);
  return hasShape(value, shape, 0) ? shape : null;
}

function hasShape(value: Json, shape: readonly number[], depth: number): boolean {
  if (depth === shape.length) return value !== null && !Array.isArray(value) && !isObject(value);
  if (!Array.isArray(value) || value.length !== shape[depth]) return false;
  return value.every((item) => hasShape(item, shape, depth + 1));
}

/** Return all elements of nested arrays in their order. */
export function flat(value: Json): Json[] {
  return Array.isArray(value) ? value.flatMap(flat) : [value];
}

/** Return nested arrays of a shape; `values` has as many elements as the shape. */
export function nested(values: readonly Json[], shape: readonly number[]): Json {
  const [size = 0, ...inner] = shape;
  if (shape.length === 0) return values[0] ?? null;
  const step = countOf(inner);
  return Array.from({ length: size }, (_, at) => nested(values.slice(at * step, (at + 1) * step), inner));
}

/** More numbers are not edited here: the page would stand still. */
export const MAX_NUMBERS = 2_000_000;

export function countOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Return why a value is no tensor of the expected shape, with the dimension that is wrong; null: it is one. */
export function shapeProblem(value: Json, expected: readonly number[] | null): string | null {
  const shape = shapeOf(value);
  if (shape === null) return raggedRow(value);
  if (expected === null) return null;
  if (shape.length !== expected.length)
    return inputTexts.array.rank(shape.length, expected.length, sizes(expected));
  const wrong = expected.findIndex((size, at) => size >= 0 && size !== shape[at]);
  return wrong < 0
    ? null
    : inputTexts.array.size(wrong + 1, shape[wrong] ?? 0, expected[wrong] ?? 0, sizes(expected));
}

function raggedRow(value: Json): string {
  const rows = Array.isArray(value) ? value : [];
  const lengths = rows.map((row) => (Array.isArray(row) ? row.length : 0));
  const wrong = lengths.findIndex((length) => length !== lengths[0]);
  return wrong < 0
    ? inputTexts.array.ragged
    : inputTexts.array.raggedRow(wrong + 1, lengths[wrong] ?? 0, lengths[0] ?? 0);
}

/** Return a shape as `any × 4`. */
export function sizes(shape: readonly number[]): string {
  return shape.map((size) => (size < 0 ? inputTexts.array.any : String(size))).join(" × ");
}

/**
 * Return nested arrays with dimensions of size 1 added or removed in front, where only these are missing or too
 * many. A table of one row or column becomes a list where one is expected.
 */
export function fitted(value: Json, expected: readonly number[] | null): Json {
  const shape = shapeOf(value);
  if (shape === null || expected === null || shape.length === expected.length) return value;
  if (expected.length === 1 && shape.filter((size) => size !== 1).length <= 1) return flat(value);
  if (shape.length > expected.length)
    return shape[0] === 1 && Array.isArray(value) ? fitted(value[0] ?? null, expected) : value;
  const added = expected.slice(0, expected.length - shape.length);
  return added.every((size) => size === 1 || size < 0)
    ? added.reduce((inner) => [inner] as Json, value)
    : value;
}

/** Return the shape that new elements get: that of the signature, and where it allows any size, the present one. */
export function shapeToFill(value: Json, expected: readonly number[] | null): number[] {
  const present = shapeOf(value);
  if (expected === null) return present ?? [1];
  const isSameRank = present?.length === expected.length;
  return expected.map((size, at) => (size >= 0 ? size : Math.max(1, isSameRank ? (present[at] ?? 1) : 1)));
}

export const FILLS = ["zeros", "ones", "ramp", "normal"] as const;
export type Fill = (typeof FILLS)[number];

const DIGITS = 6;
const LARGEST: Record<string, number> = { INT8: 127, UINT8: 255 };

/** Return a tensor of one of the usual fillings; `random` returns numbers from 0 up to 1. */
export function filled(
  fill: Fill,
  shape: readonly number[],
  datatype: string | null,
  random: () => number,
): Json {
  const isInteger = /^U?INT/.test(datatype ?? "");
  const count = countOf(shape);
  const period = (LARGEST[datatype ?? ""] ?? Number.MAX_SAFE_INTEGER) + 1;
  const element = {
    zeros: () => 0,
    ones: () => 1,
    ramp: (at: number) => (isInteger ? at % period : sixDigits(at / Math.max(1, count - 1))),
    normal: () => {
      const drawn = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
      if (!isInteger) return sixDigits(drawn);
      const whole = Math.round(drawn * 10);
      return datatype?.startsWith("U") ? Math.abs(whole) : whole;
    },
  }[fill];
  return nested(
    Array.from({ length: count }, (_, at) => element(at)),
    shape,
  );
}

/** Return a number with the significant digits that are sent. */
export function sixDigits(value: number): number {
  return Number(value.toPrecision(DIGITS));
}

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;
const NON_FINITE: Record<string, string> = {
  nan: "NaN",
  infinity: "Infinity",
  inf: "Infinity",
  "-infinity": "-Infinity",
  "-inf": "-Infinity",
};

/** Return the number that a text is, exactly; NaN and infinities by the names they have in JSON; undefined: none. */
export function numberOf(text: string): Json | undefined {
  const trimmed = text.trim();
  if (NUMBER.test(trimmed)) {
    const number = Number(trimmed);
    if (!Number.isFinite(number)) return undefined;
    const isRounded = /^[+-]?\d+$/.test(trimmed) && !Number.isSafeInteger(number);
    return isRounded ? new ExactNumber(trimmed.replace(/^\+/, "").replace(/^(-?)0+(?=\d)/, "$1")) : number;
  }
  return NON_FINITE[trimmed.toLowerCase()];
}
