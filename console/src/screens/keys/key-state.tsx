import { TimeLeft } from "../../formats/time";
import { keyTexts } from "../../strings/keys";
import { type State, Status } from "../../ui/status";
import type { Key } from "./queries";

const STATES: Record<Key["state"], State> = {
  active: "live",
  rotating: "rotating",
  expired: "expired",
  deactivated: "paused",
};

/** The state of a key; while it is replaced, with the time that is left. */
export function KeyState({ apiKey }: { apiKey: Key }) {
  const word = keyTexts.states[apiKey.state] ?? apiKey.state;
  return (
    <Status state={STATES[apiKey.state]}>
      {apiKey.state === "rotating" && apiKey.grace_ends_at ? (
        <span>
          {keyTexts.left(word)}
          <TimeLeft iso={apiKey.grace_ends_at} />
          {keyTexts.leftEnd}
        </span>
      ) : (
        word
      )}
    </Status>
  );
}
