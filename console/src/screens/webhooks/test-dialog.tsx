import { useEffect, useRef } from "react";
import { bodyOf, useChange } from "../../api/change";
import { api } from "../../api/client";
import { duration } from "../../formats/formats";
import { t } from "../../strings";
import { webhookTexts } from "../../strings/webhooks";
import { AsCurl } from "../../ui/as-curl";
import { Button, ButtonLink } from "../../ui/button";
import { CodeBlock } from "../../ui/copy";
import { Dialog } from "../../ui/dialog";
import { Facts } from "../../ui/facts";
import { Skeleton } from "../../ui/loading";
import { ErrorNotice } from "../../ui/notice";
import { DeliveryState } from "./delivery-state";
import { type DeliveryWithAttempts, type Endpoint, WEBHOOKS } from "./queries";

/** Sends the test event, once, and shows what the receiver answered. */
export function TestDialog({ endpoint, onClose }: { endpoint: Endpoint; onClose: () => void }) {
  const test = useChange(
    async () =>
      bodyOf(
        await api.POST("/node/webhooks/endpoints/{deployment_id}/test/", {
          params: { path: { deployment_id: endpoint.deployment_id } },
        }),
      ),
    { reloads: [WEBHOOKS] },
  );
  const hasSent = useRef(false);
  useEffect(() => {
    if (hasSent.current) return; // React runs effects twice while it is developed
    hasSent.current = true;
    test.mutate(undefined);
  }, [test.mutate]);
  return (
    <Dialog
      title={webhookTexts.testTitle(endpoint.deployment_name)}
      onClose={onClose}
      footer={
        <>
          {test.data ? (
            <ButtonLink to="/webhooks/deliveries/$deliveryId" params={{ deliveryId: test.data.id }}>
              {webhookTexts.attempts}
            </ButtonLink>
          ) : null}
          <Button look="primary" onClick={onClose}>
            {t.common.close}
          </Button>
        </>
      }
    >
      {test.isPending ? (
        <>
          <p role="status">{webhookTexts.testSending}</p>
          <Skeleton rows={2} />
        </>
      ) : null}
      {test.error ? <ErrorNotice error={test.error} /> : null}
      {test.data ? <TestResult delivery={test.data} /> : null}
      <AsCurl
        calls={[{ method: "POST", path: `/node/webhooks/endpoints/${endpoint.deployment_id}/test/` }]}
      />
    </Dialog>
  );
}

function TestResult({ delivery }: { delivery: DeliveryWithAttempts }) {
  const last = delivery.attempt_log.at(-1);
  return (
    <>
      <Facts
        facts={[
          [webhookTexts.status, <DeliveryState key="state" status={delivery.status} />],
          [webhookTexts.answer, last?.status_code ?? last?.error_message ?? t.common.unknown],
          [webhookTexts.took, last ? duration(last.seconds) : t.common.unknown],
        ]}
      />
      {last?.response_body ? <CodeBlock label={webhookTexts.answer} code={last.response_body} /> : null}
    </>
  );
}
