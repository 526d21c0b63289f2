/** Whether a value is a path of the console: after a log-in the browser must not leave this origin. */
export function isOwnPath(value: unknown): value is string {
  return typeof value === "string" && /^\/(?![/\\])/.test(value);
}
