import type { components } from "../../api/schema";

export type Rollout = components["schemas"]["RolloutOut"];
type RolloutIn = components["schemas"]["RolloutIn"];

/** A rollout as it is chosen: numbers are texts, shares are in per cent. */
export interface RolloutForm {
  strategy: Rollout["strategy"];
  /** "": a new one of the draft. */
  version: string;
  weight: string;
  errors: string;
  latency: string;
  tolerance: string;
  different: string;
  promoteAfter: string;
}

/** The gateway's own defaults. */
export const NEW_ROLLOUT: RolloutForm = {
  strategy: "canary",
  version: "",
  weight: "10",
  errors: "2",
  latency: "2",
  tolerance: "",
  different: "1",
  promoteAfter: "",
};

const SHADOW_TOLERANCE = "0.001";
const MINUTE_SECONDS = 60;
const MOST_MINUTES = 43_200;

/** Return what changes with a strategy: a shadow is there to compare outputs, as on the command line. */
export function withStrategy(form: RolloutForm, strategy: Rollout["strategy"]): Partial<RolloutForm> {
  const isUntouched = form.tolerance === "" || form.tolerance === SHADOW_TOLERANCE;
  return { strategy, ...(isUntouched ? { tolerance: strategy === "shadow" ? SHADOW_TOLERANCE : "" } : {}) };
}

/** The largest share: a canary leaves the live version some calls. */
export function mostWeight(strategy: Rollout["strategy"]): number {
  return strategy === "canary" ? 99 : 100;
}

/** Whether a share can be sent. */
export function isWeight(text: string, strategy: Rollout["strategy"]): boolean {
  return isWithin(text, 1, mostWeight(strategy)) && Number.isInteger(Number(text));
}

/** Return the fields whose values cannot be sent. */
export function wrongFields(form: RolloutForm): ReadonlySet<keyof RolloutForm> {
  const wrong = new Set<keyof RolloutForm>();
  if (!isWeight(form.weight, form.strategy)) wrong.add("weight");
  if (!isWithin(form.errors, 0, 100)) wrong.add("errors");
  if (form.latency.trim() && !isWithin(form.latency, 1, 1000)) wrong.add("latency");
  if (form.tolerance.trim() && !isWithin(form.tolerance, 0, Number.MAX_VALUE)) wrong.add("tolerance");
  if (!isWithin(form.different, 0, 100)) wrong.add("different");
  const minutes = form.promoteAfter.trim();
  if (minutes && !(isWithin(minutes, 1, MOST_MINUTES) && Number.isInteger(Number(minutes))))
    wrong.add("promoteAfter");
  return wrong;
}

/** Return the body of the request that begins it. */
export function rolloutBody(form: RolloutForm): RolloutIn {
  const { strategy, version, promoteAfter } = form;
  return {
    strategy,
    weight: Number(form.weight),
    ...(version ? { version: Number(version) } : {}),
    checks: {
      max_error_increase: share(form.errors),
      max_latency_ratio: optional(form.latency),
      tolerance: optional(form.tolerance),
      max_different: share(form.different),
    },
    ...(promoteAfter.trim() ? { promote_after_seconds: Number(promoteAfter) * MINUTE_SECONDS } : {}),
  };
}

function isWithin(text: string, least: number, most: number): boolean {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  return value >= least && value <= most;
}

function optional(text: string): number | null {
  return text.trim() === "" ? null : Number(text);
}

/** Per cent as a share; without the noise of a division, which would be shown in cURL. */
function share(percent: string): number {
  return Number((Number(percent) / 100).toPrecision(12));
}
