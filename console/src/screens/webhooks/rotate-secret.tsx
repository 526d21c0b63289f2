import { useState } from "react";
import { bodyOf, useChange } from "../../api/change";
import { api } from "../../api/client";
import { ProblemError } from "../../api/problem";
import { t } from "../../strings";
import { webhookTexts } from "../../strings/webhooks";
import { AsCurl } from "../../ui/as-curl";
import { Button } from "../../ui/button";
import { Checkbox } from "../../ui/choice";
import { Dialog } from "../../ui/dialog";
import { ErrorNotice } from "../../ui/notice";
import { useHeld } from "../../ui/use-held";
import { type Endpoint, WEBHOOKS } from "./queries";
import { SaveSecretDialog } from "./save-secret";

/** Gives a webhook a new secret, which is shown once. */
export function RotateSecretDialog({ endpoint, onClose }: { endpoint: Endpoint; onClose: () => void }) {
  const [force, setForce] = useState(false);
  const rotate = useChange(
    async () =>
      bodyOf(
        await api.POST("/node/webhooks/endpoints/{deployment_id}/rotate/", {
          params: { path: { deployment_id: endpoint.deployment_id } },
          body: { force },
        }),
      ),
    { reloads: [WEBHOOKS] },
  );
  const isHeld = useHeld(rotate);
  if (rotate.data) return <SaveSecretDialog secret={rotate.data.secret} onDone={onClose} />;
  const overlaps = rotate.error instanceof ProblemError && rotate.error.problem.code === "conflict";
  const close = () => {
    if (!isHeld) onClose();
  };
  return (
    <Dialog
      title={webhookTexts.rotateTitle(endpoint.deployment_name)}
      narrow
      onClose={close}
      footer={
        <>
          <Button onClick={close} disabled={isHeld}>
            {t.common.cancel}
          </Button>
          <Button look="primary" disabled={rotate.isPending} onClick={() => rotate.mutate(undefined)}>
            {webhookTexts.rotate}
          </Button>
        </>
      }
    >
      <p>{webhookTexts.rotateText}</p>
      {rotate.error ? <ErrorNotice error={rotate.error} /> : null}
      <AsCurl
        calls={[
          {
            method: "POST",
            path: `/node/webhooks/endpoints/${endpoint.deployment_id}/rotate/`,
            body: { force },
          },
        ]}
      />
      {overlaps || force ? (
        <Checkbox label={webhookTexts.rotateForce} checked={force} onChange={setForce} />
      ) : null}
    </Dialog>
  );
}
