/** A number that JavaScript's own would round, or not hold: its text is exact. */
export class ExactNumber {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type Json = null | boolean | number | string | ExactNumber | Json[] | JsonObject;
export interface JsonObject {
  [name: string]: Json;
}

const MAY_BE_ROUNDED = /\d{16}|[eE]\+?\d{3}/;
const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g;

/**
 * Parse JSON without rounding a number: what `JSON.parse` would change becomes an `ExactNumber`.
 *
 * Throws SyntaxError as `JSON.parse` does.
 */
export function parseJson(text: string): Json {
  if (!MAY_BE_ROUNDED.test(text)) return JSON.parse(text) as Json;
  // An object with a name that the text cannot have by chance stands for each such number.
  const name = crypto.getRandomValues(new Uint32Array(4)).join();
  const marked = text.replace(STRING_OR_NUMBER, (token) =>
    token.startsWith('"') || isExact(token) ? token : `{"${name}":"${token}"}`,
  );
  return JSON.parse(marked, (_, value: unknown) => {
    const exact = value !== null && typeof value === "object" ? (value as JsonObject)[name] : undefined;
    return typeof exact === "string" ? new ExactNumber(exact) : value;
  }) as Json;
}

/** Whether JavaScript has the same number; of a fraction it has what any program with doubles has. */
function isExact(token: string): boolean {
  const value = Number(token);
  if (!Number.isFinite(value)) return Number.isNaN(value); // what is no number is refused by JSON.parse
  return /[.eE]/.test(token) ? true : Number.isSafeInteger(value);
}

/** Return the first number of a value that JavaScript would round. */
export function exactNumberIn(value: Json): ExactNumber | undefined {
  if (value instanceof ExactNumber) return value;
  if (value === null || typeof value !== "object") return undefined;
  for (const item of Object.values(value)) {
    const found = exactNumberIn(item);
    if (found) return found;
  }
  return undefined;
}

/** Return a value as JSON; numbers are as they were parsed. */
export function stringifyJson(value: unknown, indent = 0): string {
  return write(value, indent ? `\n` : "", indent);
}

function write(value: unknown, line: string, indent: number): string {
  if (value instanceof ExactNumber) return value.text;
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? "null";
  const inner = indent ? line + " ".repeat(indent) : "";
  const members = Array.isArray(value)
    ? value.map((item) => write(item, inner, indent))
    : Object.entries(value)
        .filter(([, item]) => item !== undefined)
        .map(([name, item]) => `${JSON.stringify(name)}:${indent ? " " : ""}${write(item, inner, indent)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return members.length ? `${open}${inner}${members.join(`,${inner}`)}${line}${close}` : `${open}${close}`;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return (
    typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof ExactNumber)
  );
}
