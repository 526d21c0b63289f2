import type { ExactFlow } from "./exact-flow";
import checkedOrder from "./examples/checked-order.json";
import fallback from "./examples/fallback.json";
import prices from "./examples/prices.json";
import slowStep from "./examples/slow-step.json";

/** Flows that need no model; tests run each with its test data. */
export const EXAMPLES = {
  "checked-order": checkedOrder,
  prices,
  fallback,
  "slow-step": slowStep,
} as const satisfies Record<string, ExactFlow>;

export type ExampleName = keyof typeof EXAMPLES;
export const EXAMPLE_NAMES = Object.keys(EXAMPLES) as ExampleName[];
