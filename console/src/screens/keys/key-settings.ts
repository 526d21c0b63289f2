import type { components } from "../../api/schema";
import { isSame } from "../../formats/same";
import type { Key } from "./queries";

type Scope = components["schemas"]["Scope"];
type Limits = components["schemas"]["LimitsBody"];
type LimitName = keyof Limits;

export const LIMIT_NAMES = [
  "calls_per_minute",
  "calls_per_day",
  "concurrent_runs",
  "polls_per_minute",
] as const satisfies readonly LimitName[];

/** Days until a new expiry; `keep`: the one that a key has. */
export type Expiry = "keep" | "never" | "7" | "30" | "90" | "365";

/** The settings of a key as a form has them. */
export interface KeySettings {
  name: string;
  environment: string;
  scope: Scope;
  /** null: all, also later ones. */
  deployments: readonly string[] | null;
  allRuns: boolean;
  expiry: Expiry;
  limits: Record<LimitName, string>;
}

export const NEW_KEY: KeySettings = {
  name: "",
  environment: "",
  scope: "trigger",
  deployments: null,
  allRuns: false,
  expiry: "never",
  limits: { calls_per_minute: "", calls_per_day: "", concurrent_runs: "", polls_per_minute: "" },
};

export function settingsOf(key: Key): KeySettings {
  const limits = { ...NEW_KEY.limits };
  for (const name of LIMIT_NAMES) limits[name] = String(key.limits[name] ?? "");
  return {
    name: key.name,
    environment: key.environment ?? "",
    scope: key.scope,
    deployments: key.deployments,
    allRuns: key.all_runs,
    expiry: "keep",
    limits,
  };
}

/** Return the body of the request that creates or changes a key. */
export function keyBody(settings: KeySettings, now: Date) {
  const limits: Limits = {};
  for (const name of LIMIT_NAMES) limits[name] = limitOf(settings.limits[name]);
  return {
    name: settings.name.trim(),
    environment: settings.environment.trim() || null,
    scope: settings.scope,
    deployments: settings.scope === "trigger" && settings.deployments ? [...settings.deployments] : null,
    all_runs: settings.allRuns,
    limits,
    ...expiryOf(settings.expiry, now),
  };
}

/** Return what differs in the body of a request from the settings that a form was filled with. */
export function keyChange(settings: KeySettings, base: KeySettings, now: Date) {
  const before = keyBody(base, now);
  const { limits, ...after } = keyBody(settings, now);
  const changed = Object.entries(after).filter(
    ([name, value]) => !isSame(value, before[name as keyof typeof before]),
  );
  const limited = LIMIT_NAMES.filter((name) => limits[name] !== before.limits[name]);
  return {
    ...Object.fromEntries(changed),
    ...(limited.length ? { limits: Object.fromEntries(limited.map((name) => [name, limits[name]])) } : {}),
  };
}

/** Whether a limit can be sent: a whole number from 1 on, or nothing. */
export function isLimit(text: string): boolean {
  return /^([1-9][0-9]{0,8})?$/.test(text.trim());
}

/** Return the deployment that a key is for, if it is for one only. */
export function opensOne(key: { deployments: readonly string[] | null }): { id: string } | undefined {
  const [only, ...others] = key.deployments ?? [];
  return only !== undefined && others.length === 0 ? { id: only } : undefined;
}

function limitOf(text: string): number | null {
  return text.trim() === "" ? null : Number(text);
}

function expiryOf(expiry: Expiry, now: Date): { expires_at?: string | null } {
  if (expiry === "keep") return {};
  if (expiry === "never") return { expires_at: null };
  return { expires_at: new Date(now.getTime() + Number(expiry) * 86_400_000).toISOString() };
}
