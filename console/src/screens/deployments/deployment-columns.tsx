import { Link } from "@tanstack/react-router";
import type { components } from "../../api/schema";
import { count, duration } from "../../formats/formats";
import { Time } from "../../formats/time";
import { deploymentTexts } from "../../strings/deployments";
import { CopyButton } from "../../ui/copy";
import { Sparkline } from "../../ui/sparkline";
import { Status } from "../../ui/status";
import styles from "./deployment.module.css";
import { DeploymentActions } from "./deployment-actions";
import { ReadinessStatus } from "./readiness-status";

type Deployment = components["schemas"]["DeploymentOut"];

export const DEPLOYMENT_COLUMNS = [
  {
    title: deploymentTexts.deployments.name,
    cell: (deployment: Deployment) => (
      <Link
        to="/deployments/$deploymentId/code"
        params={{ deploymentId: deployment.id }}
        className={styles.name}
      >
        {deployment.name}
      </Link>
    ),
  },
  {
    title: deploymentTexts.deployments.state,
    cell: (deployment: Deployment) => (
      <span className={styles.states}>
        <DeploymentState deployment={deployment} />
        <ReadinessStatus readiness={deployment.readiness} />
      </span>
    ),
  },
  {
    title: deploymentTexts.deployments.kind,
    cell: ({ execution_mode, deployment_type }: Deployment) =>
      deploymentTexts.deployments.kindOf(execution_mode, deployment_type),
  },
  {
    title: deploymentTexts.deployments.calls,
    cell: (deployment: Deployment) => <Calls deployment={deployment} />,
  },
  {
    title: deploymentTexts.deployments.url,
    cell: ({ trigger_url }: Deployment) => (
      <CopyButton text={trigger_url} label={deploymentTexts.deployments.url} />
    ),
  },
  {
    title: deploymentTexts.deployments.actions,
    cell: (deployment: Deployment) => <DeploymentActions deployment={deployment} />,
  },
];

/** Which version is live, whether it is paused, and whether the draft differs. */
export function DeploymentState({ deployment }: { deployment: Deployment }) {
  const { version, rollout } = deployment;
  return (
    <span className={styles.states}>
      {deployment.status === "paused" ? (
        <Status state="paused">{deploymentTexts.deployments.paused(version)}</Status>
      ) : (
        <Status state="live">{deploymentTexts.deployments.live(version)}</Status>
      )}
      {rollout?.state === "running" ? (
        <Status state="running">
          {deploymentTexts.deployments[rollout.strategy](rollout.candidate, rollout.weight)}
        </Status>
      ) : null}
      {deployment.draft_differs ? <Status state="draft">{deploymentTexts.deployments.draft}</Status> : null}
    </span>
  );
}

function Calls({ deployment }: { deployment: Deployment }) {
  const { calls_24h, calls_by_hour, errors_24h, p95_seconds, last_call_at } = deployment;
  if (!calls_24h) return <span className={styles.hint}>{deploymentTexts.deployments.noCalls}</span>;
  const p95 = p95_seconds === null ? null : duration(p95_seconds);
  const most = Math.max(...calls_by_hour);
  const hoursAgo = calls_by_hour.length - 1 - calls_by_hour.lastIndexOf(most);
  return (
    <span className={styles.calls}>
      <Sparkline
        label={deploymentTexts.deployments.callsByHour(count(most), hoursAgo)}
        values={calls_by_hour}
      />
      <span>
        {deploymentTexts.deployments.callsOf(count(calls_24h), errors_24h, p95)}
        {last_call_at ? (
          <span className={styles.hint}>
            {" "}
            {deploymentTexts.deployments.lastCall} <Time iso={last_call_at} />
          </span>
        ) : null}
      </span>
    </span>
  );
}
