import type { components } from "../../api/schema";
import { duration } from "../../formats/formats";
import { deploymentTexts } from "../../strings/deployments";
import { type State, Status } from "../../ui/status";

type Readiness = components["schemas"]["ReadinessOut"];

const STATES: Record<Readiness["state"], State> = {
  ready: "ready",
  booting: "booting",
  asleep: "asleep",
  stopped: "stopped",
  failed: "failed",
  unresponsive: "failed",
  draining: "draining",
};

/** How ready the inference servers of a deployment are; nothing where it calls no model. */
export function ReadinessStatus({ readiness }: { readiness: Readiness | null }) {
  if (!readiness) return null;
  return (
    <span title={readiness.reason ?? undefined}>
      <Status state={STATES[readiness.state]}>{readinessText(readiness)}</Status>
    </span>
  );
}

export function readinessText(readiness: Readiness): string {
  const { state, phase, elapsed_seconds, expected_seconds } = readiness;
  return deploymentTexts.deployments.bootOf(
    deploymentTexts.deployments.serverStates[state] ?? state,
    phase,
    elapsed_seconds === null ? null : duration(elapsed_seconds),
    expected_seconds === null ? null : duration(expected_seconds),
  );
}
