import { TimeLeft } from "../../formats/time";
import { t } from "../../strings";
import { webhookTexts } from "../../strings/webhooks";
import { type State, Status } from "../../ui/status";
import type { Delivery } from "./queries";

const STATES: Record<Delivery["status"], State> = {
  pending: "pending",
  delivered: "completed",
  failed: "failed",
  held: "paused",
  superseded: "cancelled",
  cancelled: "cancelled",
};

export function DeliveryState({ status }: { status: Delivery["status"] }) {
  return <Status state={STATES[status]}>{webhookTexts.statuses[status] ?? status}</Status>;
}

/** Which attempt was the last, and when the next one is due. */
export function Attempts({ delivery }: { delivery: Delivery }) {
  if (delivery.attempts === 0) return t.common.unknown;
  return (
    <span>
      {webhookTexts.attemptNumber(delivery.attempts)}
      {delivery.status === "pending" && delivery.next_attempt_at ? (
        <>
          {webhookTexts.next}
          <TimeLeft iso={delivery.next_attempt_at} />
        </>
      ) : null}
    </span>
  );
}
