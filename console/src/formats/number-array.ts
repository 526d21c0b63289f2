import { ExactNumber, type Json } from "./lossless-json";

interface NumberArray {
  /** The length of each dimension. */
  shape: readonly number[];
  min: number;
  max: number;
  mean: number;
}

/** Return what is known of an array of numbers, or of nested arrays of one length each; null: it is none. */
export function numberArray(value: Json): NumberArray | null {
  const shape = shapeOf(value);
  if (shape.length === 0 || shape.includes(0)) return null;
  const total = { count: 0, min: Number.POSITIVE_INFINITY, max: Number.NEGATIVE_INFINITY, sum: 0 };
  if (!add(value, shape, 0, total)) return null;
  return { shape, min: total.min, max: total.max, mean: total.sum / total.count };
}

function shapeOf(value: Json): number[] {
  const shape: number[] = [];
  for (let inner: Json | undefined = value; Array.isArray(inner); inner = inner[0]) shape.push(inner.length);
  return shape;
}

interface Total {
  count: number;
  min: number;
  max: number;
  sum: number;
}

/** Add all numbers to the total; false: something is no number, or has another length. */
function add(value: Json, shape: readonly number[], depth: number, total: Total): boolean {
  if (depth === shape.length) {
    const number = value instanceof ExactNumber ? Number(value.text) : value;
    if (typeof number !== "number") return false;
    total.count += 1;
    total.sum += number;
    total.min = Math.min(total.min, number);
    total.max = Math.max(total.max, number);
    return true;
  }
  if (!Array.isArray(value) || value.length !== shape[depth]) return false;
  return value.every((item) => add(item, shape, depth + 1, total));
}

/** Return a number with at most six significant digits. */
export function figures(value: number): string {
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
}
