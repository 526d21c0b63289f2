import { count as digits } from "../formats/formats";
import { ExactNumber, type Json } from "../formats/lossless-json";
import { inputTexts } from "../strings/inputs";
import { UnreadableNumbers } from "./table-text";
import { countOf, MAX_NUMBERS, nested } from "./tensor";

const MAGIC = "\x93NUMPY";
const ALIGNMENT = 64;

type Read = (view: DataView, at: number, isLittle: boolean) => Json;

/** By kind and size in bytes, as in `<f4`. */
const ELEMENTS: Record<string, Read> = {
  b1: (view, at) => view.getUint8(at) !== 0,
  i1: (view, at) => view.getInt8(at),
  i2: (view, at, isLittle) => view.getInt16(at, isLittle),
  i4: (view, at, isLittle) => view.getInt32(at, isLittle),
  i8: (view, at, isLittle) => exact(view.getBigInt64(at, isLittle)),
  u1: (view, at) => view.getUint8(at),
  u2: (view, at, isLittle) => view.getUint16(at, isLittle),
  u4: (view, at, isLittle) => view.getUint32(at, isLittle),
  u8: (view, at, isLittle) => exact(view.getBigUint64(at, isLittle)),
  f2: (view, at, isLittle) => named(half(view.getUint16(at, isLittle))),
  f4: (view, at, isLittle) => named(shortest(view.getFloat32(at, isLittle))),
  f8: (view, at, isLittle) => named(view.getFloat64(at, isLittle)),
};

/**
 * Return the array of a NumPy file as nested arrays; integers are exact.
 *
 * Throws UnreadableNumbers for what is no such file, and for elements that are no numbers.
 */
export function readNpy(buffer: ArrayBuffer): Json {
  const view = new DataView(buffer);
  const start = latin(buffer, 0, MAGIC.length);
  if (start !== MAGIC || buffer.byteLength < 12) throw new UnreadableNumbers(inputTexts.npy.none);
  const isFirst = view.getUint8(6) === 1;
  const head = isFirst ? 10 : 12;
  const length = isFirst ? view.getUint16(8, true) : view.getUint32(8, true);
  const header = latin(buffer, head, length);
  const [, order = "", kind = ""] = /'descr':\s*'([<>|=]?)([a-zA-Z]\d+)'/.exec(header) ?? [];
  const dimensions = /'shape':\s*\(([^)]*)\)/.exec(header)?.[1];
  const read = ELEMENTS[kind];
  if (dimensions === undefined || !read)
    throw new UnreadableNumbers(inputTexts.npy.elements(kind || header.trim()));
  const shape = (dimensions.match(/\d+/g) ?? []).map(Number);
  const count = countOf(shape);
  // Dimensions beside one of size 0 have no numbers, and would be made all the same.
  if (Math.max(count, ...shape) > MAX_NUMBERS)
    throw new UnreadableNumbers(inputTexts.array.tooMany(digits(count), digits(MAX_NUMBERS)));
  const size = Number(kind.slice(1));
  if (head + length + count * size > buffer.byteLength)
    throw new UnreadableNumbers(inputTexts.npy.cut(count * size, buffer.byteLength - head - length));
  const values = Array.from({ length: count }, (_, at) =>
    read(view, head + length + at * size, order !== ">"),
  );
  const isFortran = /'fortran_order':\s*True/.test(header);
  return nested(isFortran ? rowByRow(values, shape) : values, shape);
}

/** Return a NumPy file of an array of numbers, as doubles. */
export function writeNpy(values: readonly number[], shape: readonly number[]): Uint8Array<ArrayBuffer> {
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
  const dictionary = `{'descr': '<f8', 'fortran_order': False, 'shape': ${tuple}, }`;
  const unpadded = MAGIC.length + 4 + dictionary.length + 1;
  const header = `${dictionary}${" ".repeat((ALIGNMENT - (unpadded % ALIGNMENT)) % ALIGNMENT)}\n`;
  const start = MAGIC.length + 4 + header.length;
  const file = new Uint8Array(start + values.length * 8);
  const view = new DataView(file.buffer);
  file.set(bytesOf(`${MAGIC}\x01\x00`));
  view.setUint16(MAGIC.length + 2, header.length, true);
  file.set(bytesOf(header), MAGIC.length + 4);
  for (const [at, value] of values.entries()) view.setFloat64(start + at * 8, value, true);
  return file;
}

function bytesOf(latin: string): Uint8Array {
  return Uint8Array.from(latin, (character) => character.charCodeAt(0));
}

/** Return elements that are stored column by column, row by row. */
function rowByRow(values: readonly Json[], shape: readonly number[]): Json[] {
  const steps = shape.map((_, at) => countOf(shape.slice(0, at)));
  const place = shape.map(() => 0);
  return values.map(() => {
    const value = values[place.reduce((sum, index, at) => sum + index * (steps[at] ?? 0), 0)] ?? null;
    for (let at = shape.length - 1; at >= 0; at -= 1) {
      place[at] = ((place[at] ?? 0) + 1) % (shape[at] ?? 1);
      if (place[at] !== 0) break;
    }
    return value;
  });
}

function latin(buffer: ArrayBuffer, at: number, length: number): string {
  return new TextDecoder("latin1").decode(buffer.slice(at, at + length)).replaceAll("\u201C", "\x93");
}

function exact(value: bigint): Json {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : new ExactNumber(String(value));
}

function named(value: number): Json {
  return Number.isFinite(value) ? value : String(value);
}

/** Return the number with the fewest digits that has the same single. */
function shortest(single: number): number {
  for (let digits = 6; digits < 9; digits += 1) {
    const value = Number(single.toPrecision(digits));
    if (Math.fround(value) === single) return value;
  }
  return Number(single.toPrecision(9));
}

function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return shortest(sign * (1 + fraction / 1024) * 2 ** (exponent - 15));
}
