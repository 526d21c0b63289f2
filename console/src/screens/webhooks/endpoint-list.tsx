import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { Time, TimeLeft } from "../../formats/time";
import { t } from "../../strings";
import { webhookTexts } from "../../strings/webhooks";
import { ButtonLink } from "../../ui/button";
import { List } from "../../ui/list";
import { EmptyState } from "../../ui/page";
import { Status } from "../../ui/status";
import { EndpointMenu } from "./endpoint-actions";
import { type Endpoint, isPaused, useEndpoints } from "./queries";
import { RotateSecretDialog } from "./rotate-secret";
import styles from "./webhooks.module.css";

export function EndpointList() {
  const endpoints = useEndpoints();
  const [rotated, setRotated] = useState<Endpoint | null>(null);
  return (
    <>
      <List
        label={webhookTexts.endpoints}
        query={endpoints}
        columns={columns(setRotated)}
        keyOf={(endpoint) => endpoint.deployment_id}
        empty={
          <EmptyState
            text={webhookTexts.noEndpoints}
            action={<ButtonLink to="/deployments">{webhookTexts.toDeployments}</ButtonLink>}
          />
        }
      />
      {rotated ? <RotateSecretDialog endpoint={rotated} onClose={() => setRotated(null)} /> : null}
    </>
  );
}

/** Whether it sends, why not, and what is not as usual. */
function EndpointState({ endpoint }: { endpoint: Endpoint }) {
  const reason = endpoint.disabled_reason;
  return (
    <span className={styles.states}>
      {endpoint.state === "enabled" ? (
        <Status state={endpoint.failing_since ? "failed" : "ready"}>{webhookTexts.enabled}</Status>
      ) : (
        <Status state="paused">{webhookTexts.disabled}</Status>
      )}
      {reason ? <span>{webhookTexts.reasons[reason] ?? reason}</span> : null}
      {endpoint.failing_since ? (
        <span>
          {webhookTexts.failing(endpoint.failures)}
          <Time iso={endpoint.failing_since} />
        </span>
      ) : null}
      {isPaused(endpoint) ? (
        <span>
          {webhookTexts.paused}
          <TimeLeft iso={endpoint.paused_until} />
        </span>
      ) : null}
      {endpoint.overlap_until && new Date(endpoint.overlap_until) > new Date() ? (
        <Status state="rotating">
          <span>
            {webhookTexts.overlap}
            <TimeLeft iso={endpoint.overlap_until} />
          </span>
        </Status>
      ) : null}
    </span>
  );
}

function columns(onRotate: (endpoint: Endpoint) => void) {
  return [
    {
      title: webhookTexts.deployment,
      cell: (endpoint: Endpoint) => (
        <Link to="/webhooks" search={{ deployment: endpoint.deployment_id }} className={styles.name}>
          {endpoint.deployment_name}
        </Link>
      ),
    },
    { title: webhookTexts.state, cell: (endpoint: Endpoint) => <EndpointState endpoint={endpoint} /> },
    { title: webhookTexts.url, cell: ({ callback_url }: Endpoint) => callback_url ?? t.common.unknown },
    { title: webhookTexts.events, cell: ({ events }: Endpoint) => events.join(", ") || t.common.unknown },
    {
      title: webhookTexts.actions,
      cell: (endpoint: Endpoint) => <EndpointMenu endpoint={endpoint} onRotate={onRotate} />,
    },
  ];
}
