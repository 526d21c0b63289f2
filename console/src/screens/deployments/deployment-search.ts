export const MODES = ["sync", "async", "fast"] as const;
export const STATES = ["active", "paused"] as const;

export interface DeploymentSearch {
  q?: string;
  mode?: (typeof MODES)[number];
  state?: (typeof STATES)[number];
}

/** Return the filters of the list of deployments, of its address; what is no value of a filter is left out. */
export function readDeploymentSearch(search: Record<string, unknown>): DeploymentSearch {
  const q = search["q"];
  const mode = MODES.find((one) => one === search["mode"]);
  const state = STATES.find((one) => one === search["state"]);
  return {
    ...(typeof q === "string" && q ? { q } : {}),
    ...(mode ? { mode } : {}),
    ...(state ? { state } : {}),
  };
}
