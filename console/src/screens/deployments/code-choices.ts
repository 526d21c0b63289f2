/** What else can be chosen of code; what is left out is as the gateway has it. */
export interface CodeChoices {
  /** The key comes from the environment. */
  key?: "environment";
  /** Whether it tries again. */
  retry?: boolean;
  /** In place of the live one. */
  version?: number;
}

/** Return the choices of a URL; what is no value of one is left out. */
export function readCodeChoices(search: Record<string, unknown>): CodeChoices {
  const { key, retry, version } = search;
  return {
    ...(key === "environment" ? { key } : {}),
    ...(typeof retry === "boolean" ? { retry } : {}),
    ...(typeof version === "number" && Number.isSafeInteger(version) && version > 0 ? { version } : {}),
  };
}
