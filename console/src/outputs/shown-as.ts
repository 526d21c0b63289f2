import { ExactNumber, isObject, type Json, type JsonObject } from "../formats/lossless-json";
import { flat, shapeOf } from "../inputs/tensor";

export interface Share {
  /** The name of a class, or its place from 0 on. */
  name: string;
  share: number;
}

/** In which form a value is read best. */
export type ShownAs =
  | { kind: "scalar" }
  /** Probabilities: the largest first, a list for each row. */
  | { kind: "shares"; rows: Share[][]; others: number }
  | { kind: "table"; columns: string[]; rows: Json[][]; others: number }
  | { kind: "picture"; width: number; height: number; pixels: Uint8ClampedArray<ArrayBuffer> }
  | { kind: "json" };

export const MAX_ROWS = 50;
const MAX_COLUMNS = 20;
const MAX_SHARES = 10;
const MAX_CLASSES = 100_000;
/** By how much the sum of probabilities may differ from 1: they were computed as singles or halves. */
const TOLERANCE = 0.01;
const SMALLEST_PICTURE = 8;
const MAX_PIXELS = 4_000_000;

export function shownAs(value: Json): ShownAs {
  if (!Array.isArray(value)) {
    if (!isObject(value)) return { kind: "scalar" };
    const shares = sharesOf(value);
    return shares ? { kind: "shares", rows: [shares], others: 0 } : { kind: "json" };
  }
  if (!value.length) return { kind: "json" };
  if (value.every(isObject)) return records(value);
  const shape = shapeOf(value);
  if (shape === null) return { kind: "json" };
  return pictureOf(value, shape) ?? distributions(value, shape) ?? tableOf(value, shape) ?? { kind: "json" };
}

function records(value: readonly JsonObject[]): ShownAs {
  const first = value.slice(0, MAX_ROWS);
  const others = value.length - first.length;
  const shares = first.map(sharesOf);
  if (shares.every((one) => one !== null)) return { kind: "shares", rows: shares, others };
  const columns = [...new Set(first.flatMap((record) => Object.keys(record)))];
  if (columns.length > MAX_COLUMNS) return { kind: "json" };
  return {
    kind: "table",
    columns,
    rows: first.map((row) => columns.map((name) => row[name] ?? null)),
    others,
  };
}

/** Return the probabilities of an object of classes, the largest first; null: it has none. */
function sharesOf(record: JsonObject): Share[] | null {
  const entries = Object.entries(record);
  return sharesOfNumbers(
    entries.map(([, share]) => share),
    (at) => entries[at]?.[0] ?? "",
  );
}

function sharesOfNumbers(numbers: readonly Json[], nameOf: (at: number) => string): Share[] | null {
  if (numbers.length < 2 || numbers.length > MAX_CLASSES) return null;
  let sum = 0;
  for (const share of numbers) {
    if (typeof share !== "number" || share < 0 || share > 1) return null;
    sum += share;
  }
  if (Math.abs(sum - 1) > TOLERANCE) return null;
  return numbers
    .map((share, at) => ({ name: nameOf(at), share: Number(share) }))
    .sort((a, b) => b.share - a.share)
    .slice(0, MAX_SHARES);
}

function distributions(value: readonly Json[], shape: readonly number[]): ShownAs | null {
  const rows = shape.length === 1 ? [value] : shape.length === 2 ? (value as Json[][]) : [];
  const first = rows.slice(0, MAX_ROWS);
  const found = first.map((row) => sharesOfNumbers(row, String));
  if (!found.length || !found.every((one) => one !== null)) return null;
  // Rows of 0 and 1 alone are more often marks than probabilities.
  if (first.flat().every((share) => share === 0 || share === 1)) return null;
  return { kind: "shares", rows: found, others: rows.length - first.length };
}

function tableOf(value: readonly Json[], shape: readonly number[]): ShownAs | null {
  const [length = 0, width = 1] = shape;
  if (shape.length > 2 || width > MAX_COLUMNS) return null;
  const rows = value.slice(0, MAX_ROWS).map((row) => (Array.isArray(row) ? row : [row]));
  return {
    kind: "table",
    columns: Array.from({ length: width }, (_, at) => String(at + 1)),
    rows,
    others: length - rows.length,
  };
}

/** Return the first picture of three channels; its numbers are from 0 to 1, to 255, or of any range. */
function pictureOf(value: Json, shape: readonly number[]): ShownAs | null {
  if (shape.length < 3 || shape.length > 4) return null;
  const [channelsOrHeight = 0, second = 0, third = 0] = shape.slice(-3);
  const isPlanes = channelsOrHeight === 3;
  const [height, width] = isPlanes ? [second, third] : [channelsOrHeight, second];
  if ((!isPlanes && third !== 3) || Math.min(height, width) < SMALLEST_PICTURE) return null;
  if (height * width > MAX_PIXELS) return null;
  const one = shape.length === 4 && Array.isArray(value) ? (value[0] ?? null) : value;
  const numbers = flat(one);
  if (!numbers.every((number) => typeof number === "number")) return null;
  const [low, high] = rangeOf(numbers);
  const pixels = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let at = 0; at < width * height; at += 1)
    for (let channel = 0; channel < 3; channel += 1) {
      const number = numbers[isPlanes ? channel * width * height + at : at * 3 + channel] ?? 0;
      pixels[at * 4 + channel] = ((number - low) / (high - low || 1)) * 255;
    }
  return { kind: "picture", width, height, pixels };
}

function rangeOf(numbers: readonly number[]): readonly [low: number, high: number] {
  let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const number of numbers) {
    min = Math.min(min, number);
    max = Math.max(max, number);
  }
  if (min < 0 || max > 255) return [min, max];
  return max <= 1 ? [0, 1] : [0, 255];
}

/** Return an array of numbers as a file needs it; null: it has other elements. */
export function numbersOf(value: Json): { numbers: number[]; shape: number[] } | null {
  const shape = shapeOf(value);
  if (!shape?.length) return null;
  const numbers = flat(value).map((item) => {
    if (item instanceof ExactNumber) return Number(item.text);
    return typeof item === "string" && NON_FINITE.has(item) ? Number(item) : item;
  });
  return numbers.every((item) => typeof item === "number") ? { numbers, shape } : null;
}

const NON_FINITE = new Set(["NaN", "Infinity", "-Infinity"]);
