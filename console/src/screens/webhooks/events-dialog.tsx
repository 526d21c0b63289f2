import { useState } from "react";
import { useChange } from "../../api/change";
import { api } from "../../api/client";
import { t } from "../../strings";
import { webhookTexts } from "../../strings/webhooks";
import { AsCurl } from "../../ui/as-curl";
import { Button } from "../../ui/button";
import { Checkbox } from "../../ui/choice";
import { Dialog } from "../../ui/dialog";
import { ErrorNotice } from "../../ui/notice";
import { toast } from "../../ui/toast";
import { type Endpoint, WEBHOOKS } from "./queries";

const EVENTS = ["run.started", "run.completed", "run.failed", "run.cancelled"] as const;

/** Chooses which events of runs are sent. */
export function EventsDialog({ endpoint, onClose }: { endpoint: Endpoint; onClose: () => void }) {
  const [events, setEvents] = useState<Endpoint["events"]>(endpoint.events);
  const save = useChange(
    () =>
      api.PATCH("/node/webhooks/endpoints/{deployment_id}/", {
        params: { path: { deployment_id: endpoint.deployment_id } },
        body: { events },
      }),
    {
      reloads: [WEBHOOKS],
      onDone: () => toast(t.common.saved),
    },
  );
  return (
    <Dialog
      title={webhookTexts.chooseTitle(endpoint.deployment_name)}
      narrow
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>{t.common.cancel}</Button>
          <Button
            look="primary"
            disabled={save.isPending}
            onClick={() => save.mutate(undefined, { onSuccess: onClose })}
          >
            {t.common.save}
          </Button>
        </>
      }
    >
      {EVENTS.map((event) => (
        <Checkbox
          key={event}
          label={event}
          checked={events.includes(event)}
          onChange={(checked) =>
            setEvents(EVENTS.filter((e) => (e === event ? checked : events.includes(e))))
          }
        />
      ))}
      {save.error ? <ErrorNotice error={save.error} /> : null}
      <AsCurl
        calls={[
          { method: "PATCH", path: `/node/webhooks/endpoints/${endpoint.deployment_id}/`, body: { events } },
        ]}
      />
    </Dialog>
  );
}
