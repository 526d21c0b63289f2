import { useState } from "react";
import { api } from "../../api/client";
import { t } from "../../strings";
import { webhookTexts } from "../../strings/webhooks";
import { useAction } from "../../ui/action";
import { ActionMenu, type MenuAction } from "../../ui/menu";
import { toast } from "../../ui/toast";
import { EventsDialog } from "./events-dialog";
import { type Endpoint, isPaused, WEBHOOKS } from "./queries";
import { TestDialog } from "./test-dialog";
import { useWebhookSwitch } from "./webhook-switch";

interface EndpointMenuProps {
  endpoint: Endpoint;
  /** Opens the dialog that rotates the secret: the list has it, as the new secret must outlive a row. */
  onRotate: (endpoint: Endpoint) => void;
}

/** What can be done with the webhook of a deployment. */
export function EndpointMenu({ endpoint, onRotate }: EndpointMenuProps) {
  const [open, setOpen] = useState<"events" | "test" | null>(null);
  const close = () => setOpen(null);
  const { deployment_name: name, deployment_id } = endpoint;
  const params = { path: { deployment_id } };
  const toggle = useWebhookSwitch(endpoint);
  const endOverlap = useAction(
    () => api.POST("/node/webhooks/endpoints/{deployment_id}/end-overlap/", { params }),
    { reloads: [WEBHOOKS], onDone: () => toast(webhookTexts.overlapEnded) },
  );
  const resume = useAction(() => api.POST("/node/webhooks/endpoints/{deployment_id}/resume/", { params }), {
    reloads: [WEBHOOKS],
    onDone: () => toast(webhookTexts.isResumed(name)),
  });
  const actions: MenuAction[] = [
    { label: webhookTexts.test, onSelect: () => setOpen("test") },
    { label: webhookTexts.choose, onSelect: () => setOpen("events") },
    { label: webhookTexts.rotate, onSelect: () => onRotate(endpoint) },
  ];
  if (endpoint.overlap_until) actions.push({ label: webhookTexts.endOverlap, onSelect: endOverlap });
  if (isPaused(endpoint)) actions.push({ label: webhookTexts.resume, onSelect: resume });
  actions.push(toggle);
  return (
    <>
      <ActionMenu label={t.common.actions(name)} actions={actions} />
      {open === "events" ? <EventsDialog endpoint={endpoint} onClose={close} /> : null}
      {open === "test" ? <TestDialog endpoint={endpoint} onClose={close} /> : null}
    </>
  );
}
