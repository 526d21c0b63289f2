import { createContext, useContext } from "react";
import { ProblemError } from "../api/problem";
import { isObject, type Json, type JsonObject } from "../formats/lossless-json";
import type { Path } from "./input";

/** What the gateway has refused of an input that was sent. */
export interface Refusal {
  input: JsonObject;
  /** The reasons, by JSON pointers into the input. */
  reasons: ReadonlyMap<string, string>;
}

/** Of the input that a form shows; null: nothing was refused. */
export const RefusalContext = createContext<Refusal | null>(null);

/** Return what an answer refuses of the input in the member `name` of a body; null: nothing of it. */
export function refusalOf(error: unknown, name: string, input: JsonObject): Refusal | null {
  if (!(error instanceof ProblemError)) return null;
  const within = `#/${name}/`;
  const errors = (error.problem.errors ?? []).filter(({ pointer }) => pointer.startsWith(within));
  if (!errors.length) return null;
  const reasons = errors.map(({ pointer, detail }) => [pointer.slice(within.length - 1), detail] as const);
  return { input, reasons: new Map(reasons) };
}

/** Return why the member at a path was refused, until it has another value; `isWhole`: with all that is in it. */
export function reasonAt(
  refusal: Refusal | null,
  path: Path,
  value: Json | undefined,
  isWhole: boolean,
): string | undefined {
  if (refusal === null || valueAt(refusal.input, path) !== value) return undefined;
  const own = path.map((name) => `/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
  for (const [pointer, reason] of refusal.reasons)
    if (pointer === own || (isWhole && pointer.startsWith(`${own}/`))) return reason;
  return undefined;
}

export function useReason(path: Path, value: Json | undefined, isWhole: boolean): string | undefined {
  return reasonAt(useContext(RefusalContext), path, value, isWhole);
}

function valueAt(input: JsonObject, path: Path): Json | undefined {
  let inner: Json | undefined = input;
  for (const name of path) inner = isObject(inner) ? inner[name] : undefined;
  return inner;
}
