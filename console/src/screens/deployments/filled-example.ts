import { useMemo } from "react";
import type { Example } from "./examples";
import { literalTokens } from "./literals";

/** Longer inputs stay out of the code: nothing that a person reads, and slow to write at each key. */
export const MAX_FILLED = 65_536;

/** Return an example that sends other `input_data`, given as JSON. */
export function filled(example: Example, json: string): Example {
  const { body_slots, language } = example;
  if (body_slots.length === 0) return example;
  const tokens = [...example.tokens];
  const lastFirst = [...body_slots].sort((one, other) => other.index - one.index);
  for (const { index, count } of lastFirst) {
    const literal = literalTokens(json, language, tokens[index]?.[0]);
    tokens.splice(index, count, ...literal.map((token) => [...token]));
  }
  return { ...example, tokens, code: tokens.map(([, text]) => text).join("") };
}

/** Return what was tried if code has it. */
export function inCode(tried: string | null): string | null {
  return tried !== null && tried.length > MAX_FILLED ? null : tried;
}

/** The example with what was tried, if that is not too long. */
export function useFilled(example: Example, tried: string | null): Example {
  const json = inCode(tried);
  return useMemo(() => (json === null ? example : filled(example, json)), [example, json]);
}
