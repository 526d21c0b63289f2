import { useEffect, useState } from "react";
import { duration } from "../../formats/formats";
import { deploymentTexts } from "../../strings/deployments";
import { serverTexts } from "../../strings/servers";
import { type State, Status } from "../../ui/status";
import styles from "./servers.module.css";

/** What is shown of an inference server, in lists and on its page. */
export interface Booting {
  desired: string;
  state: string;
  phase: string | null;
  reason: string | null;
  boot_elapsed_seconds?: number | null;
  expected_boot_seconds: number | null;
  slow_boot_seconds: number | null;
}

const STATES: Record<string, State> = {
  ready: "ready",
  stopped: "stopped",
  failed: "failed",
  unresponsive: "failed",
  draining: "draining",
};
const TICK_MILLISECONDS = 200;
/** Never the whole: only the server's readiness is the end of a boot. */
const MAX_PART = 0.95;
const CIRCUMFERENCE = 2 * Math.PI * 5;

/** The state of an inference server in a line; while it boots with the time it takes. */
export function ServerStatus({ server }: { server: Booting }) {
  if (server.desired === "asleep")
    return <Status state="asleep">{deploymentTexts.deployments.serverStates["asleep"]}</Status>;
  if (server.state === "booting") return <BootStatus server={server} />;
  return (
    <span title={server.reason ?? undefined}>
      <Status state={STATES[server.state] ?? "pending"}>
        {deploymentTexts.deployments.serverStates[server.state] ?? server.state}
      </Status>
    </span>
  );
}

function BootStatus({ server }: { server: Booting }) {
  const elapsed = useBootSeconds(server);
  const phase = serverTexts.servers.phases[server.phase ?? ""] ?? server.phase ?? "";
  return (
    <span className={styles.boot}>
      <BootArc part={bootPart(elapsed, server.expected_boot_seconds)} />
      {serverTexts.servers.booting(phase)} <span className={styles.elapsed}>{bootTime(elapsed, server)}</span>
      {isLate(elapsed, server) ? <span className={styles.late}>{serverTexts.servers.late}</span> : null}
    </span>
  );
}

/** How much of a boot is over, as far as is known: elapsed by expected, and never the whole. */
export function bootPart(elapsed: number, expected: number | null): number | null {
  return expected ? Math.min(MAX_PART, elapsed / expected) : null;
}

/** Return `3.10 s of about 5.00 s`; without earlier boots, only the first. */
export function bootTime(elapsed: number, { expected_boot_seconds: expected }: Booting): string {
  const shown = duration(elapsed);
  return expected
    ? serverTexts.servers.elapsedOf(shown, duration(expected))
    : serverTexts.servers.elapsed(shown);
}

/** Whether a boot takes longer than nine of ten before it. */
export function isLate(elapsed: number, { slow_boot_seconds: slow }: Booting): boolean {
  return slow !== null && elapsed > slow;
}

/** For how long a server boots: what the gateway has said, and the time since then. */
export function useBootSeconds({ boot_elapsed_seconds: said = null }: Booting): number {
  const [seconds, setSeconds] = useState(said ?? 0);
  useEffect(() => {
    if (said === null) return;
    const began = performance.now();
    setSeconds(said);
    const timer = setInterval(() => setSeconds(said + (performance.now() - began) / 1000), TICK_MILLISECONDS);
    return () => clearInterval(timer);
  }, [said]);
  return seconds;
}

function BootArc({ part }: { part: number | null }) {
  return (
    <svg viewBox="0 0 14 14" aria-hidden className={styles.arc} data-unknown={part === null || undefined}>
      <circle cx="7" cy="7" r="5" className={styles.ring} />
      <circle
        cx="7"
        cy="7"
        r="5"
        className={styles.filled}
        strokeDasharray={`${(part ?? 0.25) * CIRCUMFERENCE} ${CIRCUMFERENCE}`}
        transform="rotate(-90 7 7)"
      />
    </svg>
  );
}
