import { Link } from "@tanstack/react-router";
import { count } from "../../formats/formats";
import { Time } from "../../formats/time";
import { keyTexts } from "../../strings/keys";
import { Notice } from "../../ui/notice";
import type { Key } from "./queries";

/** After so long without a call, the callers of an old key are taken to have the new one. */
const SILENT_MILLISECONDS = 2 * 3_600_000;

/** What the callers of a key still do that is being replaced. */
export function RotatingKey({ apiKey }: { apiKey: Key }) {
  const calls = apiKey.calls_since_rotation ?? 0;
  const last = apiKey.last_call_since_rotation ?? apiKey.rotated_at;
  const isSilent = last !== null && Date.now() - new Date(last).getTime() > SILENT_MILLISECONDS;
  return (
    <Notice kind="warn" title={calls ? keyTexts.rotating(count(calls)) : keyTexts.rotatingNone}>
      <p>{isSilent ? keyTexts.silent : keyTexts.rotatingText}</p>
      {apiKey.last_call_since_rotation ? (
        <p>
          {keyTexts.lastOldCall}
          <Time iso={apiKey.last_call_since_rotation} />
        </p>
      ) : null}
    </Notice>
  );
}

/** The key that replaced another one, or was replaced. */
export function Replacement({ id }: { id: string }) {
  return (
    <Link to="/settings/keys/$keyId" params={{ keyId: id }}>
      {id.slice(0, 8)}
    </Link>
  );
}
