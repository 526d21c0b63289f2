import { getRouteApi, Link } from "@tanstack/react-router";
import { api } from "../../api/client";
import { duration } from "../../formats/formats";
import { Time } from "../../formats/time";
import { t } from "../../strings";
import { webhookTexts } from "../../strings/webhooks";
import { useAction } from "../../ui/action";
import { Button } from "../../ui/button";
import { CodeBlock, CopyButton, Id } from "../../ui/copy";
import { Facts } from "../../ui/facts";
import { Loaded } from "../../ui/loading";
import { Section } from "../../ui/page";
import { Table } from "../../ui/table";
import { toast } from "../../ui/toast";
import { curlOf } from "./delivery-curl";
import { Attempts, DeliveryState } from "./delivery-state";
import { type Attempt, type DeliveryWithAttempts, useDelivery, WEBHOOKS } from "./queries";
import styles from "./webhooks.module.css";

const route = getRouteApi("/app/webhooks/deliveries/$deliveryId");

export function DeliveryDetails() {
  const { deliveryId } = route.useParams();
  const delivery = useDelivery(deliveryId);
  return <Loaded query={delivery}>{(loaded) => <DeliveryParts delivery={loaded} />}</Loaded>;
}

function DeliveryParts({ delivery }: { delivery: DeliveryWithAttempts }) {
  const last = delivery.attempt_log.at(-1);
  const body = JSON.stringify(delivery.payload, null, 2);
  return (
    <>
      <DeliveryHeader delivery={delivery} last={last} />
      <Section title={webhookTexts.attempts}>
        <AttemptLog attempts={delivery.attempt_log} />
      </Section>
      {last ? (
        <>
          <CodeBlock label={webhookTexts.headers} code={headerLines(last)} />
          {last.response_body ? <CodeBlock label={webhookTexts.answer} code={last.response_body} /> : null}
        </>
      ) : null}
      <CodeBlock label={webhookTexts.body} code={body} />
    </>
  );
}

function DeliveryHeader({ delivery, last }: { delivery: DeliveryWithAttempts; last: Attempt | undefined }) {
  const again = useAction(
    () =>
      api.POST("/node/webhooks/deliveries/{delivery_id}/replay/", {
        params: { path: { delivery_id: delivery.id } },
      }),
    { reloads: [WEBHOOKS], onDone: () => toast(webhookTexts.sentAgain) },
  );
  return (
    <>
      <div className={styles.head}>
        <h2>{delivery.event}</h2>
        <div className={styles.buttons}>
          <Button onClick={again}>{webhookTexts.sendAgain}</Button>
          {last ? <CopyButton text={curlOf(last, delivery.payload)} label={webhookTexts.copyCurl} /> : null}
        </div>
      </div>
      {last ? <p className={styles.hint}>{webhookTexts.curlUnsigned}</p> : null}
      <Facts
        facts={[
          [webhookTexts.status, <DeliveryState key="state" status={delivery.status} />],
          [webhookTexts.attempts, <Attempts key="attempts" delivery={delivery} />],
          [webhookTexts.id, <Id key="id" id={delivery.id} />],
          [
            webhookTexts.run,
            delivery.flow_run_id ? (
              <Link key="run" to="/runs/$runId" params={{ runId: delivery.flow_run_id }}>
                {delivery.flow_run_id}
              </Link>
            ) : (
              t.common.unknown
            ),
          ],
          [webhookTexts.at, <Time key="at" iso={delivery.created_at} />],
          [webhookTexts.url, last?.url ?? t.common.unknown],
        ]}
      />
    </>
  );
}

function AttemptLog({ attempts }: { attempts: readonly Attempt[] }) {
  if (attempts.length === 0) return <p className={styles.hint}>{webhookTexts.noAttempts}</p>;
  return (
    <Table
      label={webhookTexts.attempts}
      rows={attempts.toReversed()}
      columns={ATTEMPT_COLUMNS}
      keyOf={({ number }) => String(number)}
    />
  );
}

const ATTEMPT_COLUMNS = [
  { title: webhookTexts.attempt, cell: ({ number }: Attempt) => number },
  {
    title: webhookTexts.result,
    cell: ({ result, status_code }: Attempt) =>
      `${webhookTexts.results[result] ?? result}${status_code ? ` · ${status_code}` : ""}`,
  },
  { title: webhookTexts.took, cell: ({ seconds }: Attempt) => duration(seconds) },
  {
    title: webhookTexts.error,
    cell: ({ error_message }: Attempt) => error_message ?? t.common.unknown,
  },
  { title: webhookTexts.at, cell: ({ started_at }: Attempt) => <Time iso={started_at} /> },
];

function headerLines(attempt: Attempt): string {
  return Object.entries(attempt.request_headers)
    .map(([name, value]) => `${name}: ${value}`)
    .join("\n");
}
