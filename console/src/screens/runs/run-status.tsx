import { runTexts } from "../../strings/runs";
import { type State, Status } from "../../ui/status";

const STATES: Record<string, State> = {
  queued: "pending",
  pending: "pending",
  running: "running",
  cancelling: "cancelling",
  completed: "completed",
  delivered: "completed",
  failed: "failed",
  throttled: "failed",
  blocked: "failed",
  gone: "failed",
  aborted: "failed",
  cancelled: "cancelled",
  skipped: "cancelled",
  superseded: "cancelled",
  held: "paused",
};

/** The state of a run. */
export function RunStatus({ status }: { status: string }) {
  return <Status state={stateOf(status)}>{runTexts.runs.statuses[status] ?? status}</Status>;
}

/** Return the shape of the state of a run, a node or a delivery. */
export function stateOf(status: string): State {
  return STATES[status] ?? "pending";
}

/** Whether a run in this state can still be cancelled. */
export function isUnfinished(status: string): boolean {
  return ["queued", "running"].includes(status);
}

interface Retried {
  status: string;
  execution_mode: string;
  test: boolean;
}

/** Whether the input of a run can be run again: that of a fast call is not kept, and tests have no version. */
export function mayRetry({ status, execution_mode, test }: Retried): boolean {
  return ["failed", "cancelled"].includes(status) && execution_mode !== "fast" && !test;
}
