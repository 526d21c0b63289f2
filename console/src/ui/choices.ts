import type { Option } from "./choice";

/** Return values as options, each with its label and what it means. */
export function choices<Value extends string>(
  values: readonly Value[],
  texts: Record<string, [string, string]>,
): Option<Value>[] {
  return values.map((value) => ({ value, label: texts[value]?.[0] ?? value, hint: texts[value]?.[1] }));
}
