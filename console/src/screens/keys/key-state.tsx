import { TimeLeft } from "../../formats/time";
import { keyTexts } from "../../strings/keys";
import { type State, Status } from "../../ui/status";
import styles from "./keys.module.css";
import type { Key } from "./queries";

const STATES: Record<Key["state"], State> = {
  active: "live",
  rotating: "rotating",
  expired: "expired",
  deactivated: "paused",
};

/** The state of a key in a list: with what its owner should know of it. */
export function KeyStateWithWarnings({ apiKey }: { apiKey: Key }) {
  return (
    <span className={styles.parts}>
      <KeyState apiKey={apiKey} />
      {apiKey.warnings.map(({ code, message }) => (
        <span key={code} className={styles.warning} title={message}>
          {keyTexts.warnings[code] ?? code}
        </span>
      ))}
    </span>
  );
}

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
