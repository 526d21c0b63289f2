import { useEffect, useState } from "react";
import { useWatches, type WatchedCall } from "../../api/live/calls";
import { duration } from "../../formats/formats";
import { timingParts } from "../../formats/server-timing";
import { Time } from "../../formats/time";
import { codeTexts } from "../../strings/code";
import { Status } from "../../ui/status";
import { CallSplit } from "./call-split";
import styles from "./watched-calls.module.css";

const SHOWN = 5;
const FIRST_ERROR_STATUS = 400;
const NONE: readonly WatchedCall[] = [];

/** Waits for calls from elsewhere, and shows each: who called, what came back, where the time went. */
export function WatchedCalls({ deploymentId }: { deploymentId: string }) {
  const until = useWatches((watches) => watches.until[deploymentId] ?? 0);
  const calls = useWatches((watches) => watches.calls[deploymentId] ?? NONE);
  const isWaiting = useIsBefore(until);
  const hasSucceeded = calls.some(succeeded);
  return (
    <section className={styles.watched} aria-label={codeTexts.calls.title}>
      <p className={styles.state}>
        {isWaiting ? (
          <Status state="running">
            {calls.length ? codeTexts.calls.waitingNext : codeTexts.calls.waiting}
          </Status>
        ) : (
          codeTexts.calls.idle
        )}
      </p>
      <p role="status" className={styles.first}>
        {hasSucceeded ? <Status state="completed">{codeTexts.calls.succeeded}</Status> : null}
      </p>
      {calls.length ? (
        <ol className={styles.calls}>
          {calls.slice(0, SHOWN).map((call) => (
            <Call key={`${call.id} ${call.at}`} call={call} />
          ))}
        </ol>
      ) : null}
    </section>
  );
}

function Call({ call }: { call: WatchedCall }) {
  const { total } = timingParts(call.server_timing);
  return (
    <li className={styles.call}>
      <div className={styles.facts}>
        <Status state={succeeded(call) ? "completed" : "failed"}>
          {call.code === null ? `${call.status}` : `${call.status} ${call.code}`}
        </Status>
        <span>{codeTexts.calls.from(call.client, call.address)}</span>
        {call.key_mask === null ? null : <code>{call.key_mask}</code>}
        {total === null ? null : <span>{codeTexts.calls.total(duration(total / 1000))}</span>}
        <Time iso={call.at} />
      </div>
      {call.hint === null ? null : <p className={styles.hint}>{call.hint}</p>}
      <CallSplit serverTiming={call.server_timing} />
    </li>
  );
}

function succeeded({ status }: WatchedCall): boolean {
  return status < FIRST_ERROR_STATUS;
}

/** Whether a time is still to come; the component is rendered again when it has. */
function useIsBefore(time: number): boolean {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    setNow(Date.now());
    const left = time - Date.now();
    if (left <= 0) return;
    const timer = setTimeout(() => setNow(Date.now()), left);
    return () => clearTimeout(timer);
  }, [time]);
  return now < time;
}
