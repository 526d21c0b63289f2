import { useMutation } from "@tanstack/react-query";
import { api, hooks } from "../../api/client";
import type { components } from "../../api/schema";
import { Time } from "../../formats/time";
import { deploymentTexts } from "../../strings/deployments";
import { Button } from "../../ui/button";
import { Loaded } from "../../ui/loading";
import { ErrorNotice, Notice } from "../../ui/notice";
import { Status } from "../../ui/status";
import { useWebhookSwitch } from "../webhooks/webhook-switch";
import styles from "./deployment.module.css";

type Endpoint = components["schemas"]["EndpointOut"];

/** Whether events arrive, with a test and a switch. */
export function WebhookState({ deploymentId }: { deploymentId: string }) {
  const path = { deployment_id: deploymentId };
  const endpoint = hooks.useQuery("get", "/node/webhooks/endpoints/{deployment_id}/", { params: { path } });
  const test = useMutation({
    mutationFn: async () =>
      (await api.POST("/node/webhooks/endpoints/{deployment_id}/test/", { params: { path } })).data,
    onSettled: () => endpoint.refetch(),
  });
  return (
    <Loaded query={endpoint}>
      {(shown) => (
        <div className={styles.stack}>
          <Facts endpoint={shown} />
          <div className={styles.bar}>
            <Button disabled={test.isPending} onClick={() => test.mutate()}>
              {test.isPending ? deploymentTexts.webhook.testing : deploymentTexts.webhook.test}
            </Button>
            <Switch endpoint={shown} />
          </div>
          {test.data ? (
            <Notice kind={test.data.status === "delivered" ? "info" : "bad"} announced>
              <p>{deploymentTexts.webhook.tested(test.data.last_status_code, test.data.last_error)}</p>
            </Notice>
          ) : null}
          {test.error ? <ErrorNotice error={test.error} /> : null}
        </div>
      )}
    </Loaded>
  );
}

function Switch({ endpoint }: { endpoint: Endpoint }) {
  const { label, onSelect } = useWebhookSwitch(endpoint);
  return <Button onClick={onSelect}>{label}</Button>;
}

function Facts({ endpoint }: { endpoint: Endpoint }) {
  const { state, disabled_reason, failures, paused_until } = endpoint;
  return (
    <div className={styles.facts}>
      <Status state={state === "enabled" ? "live" : "paused"}>
        {deploymentTexts.webhook.states[state] ?? state}
        {disabled_reason ? `: ${deploymentTexts.webhook.reasons[disabled_reason] ?? disabled_reason}` : ""}
      </Status>
      <span>{deploymentTexts.webhook.failures(failures)}</span>
      {paused_until ? (
        <span>
          {deploymentTexts.webhook.pausedUntil} <Time iso={paused_until} />
        </span>
      ) : null}
    </div>
  );
}
