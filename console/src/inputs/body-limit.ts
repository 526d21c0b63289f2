import { hooks } from "../api/client";

/** What an installation accepts unless its operator says otherwise, until it has said. */
const DEFAULT_BYTES = 64 * 1024 * 1024;

/** Return how many bytes a body may have. */
export function useBodyLimit(): number {
  const info = hooks.useQuery("get", "/node/info/");
  return info.data?.limits?.max_body_bytes ?? DEFAULT_BYTES;
}
