import type { components } from "../../api/schema";

export type Group = components["schemas"]["GroupBy"];

/** What usage can be grouped by. */
export const GROUP_NAMES: readonly Group[] = ["deployment", "version", "key", "code"];
export const DEFAULT_GROUP: Group = "deployment";

export function groupOf(value: unknown): Group | undefined {
  return GROUP_NAMES.find((name) => name === value);
}
