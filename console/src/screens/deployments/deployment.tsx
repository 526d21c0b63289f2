import { getRouteApi, Outlet } from "@tanstack/react-router";
import { hooks } from "../../api/client";
import type { components } from "../../api/schema";
import { deploymentTexts } from "../../strings/deployments";
import { CopyButton, Id } from "../../ui/copy";
import { Loaded } from "../../ui/loading";
import { Notice } from "../../ui/notice";
import { Page } from "../../ui/page";
import { Tab, Tabs } from "../../ui/tabs";
import styles from "./deployment.module.css";
import { DeploymentActions } from "./deployment-actions";
import { DeploymentState } from "./deployment-columns";
import { ServerState } from "./server-state";

type Deployment = components["schemas"]["DeploymentOut"];

const route = getRouteApi("/app/deployments/$deploymentId");
const TABS = [
  { to: "/deployments/$deploymentId/code", label: deploymentTexts.deployments.code },
  { to: "/deployments/$deploymentId/try", label: deploymentTexts.deployments.try },
  { to: "/deployments/$deploymentId/runs", label: deploymentTexts.deployments.runs },
  { to: "/deployments/$deploymentId/usage", label: deploymentTexts.deployments.usage },
  { to: "/deployments/$deploymentId/versions", label: deploymentTexts.deployments.versions },
  { to: "/deployments/$deploymentId/settings", label: deploymentTexts.deployments.settings },
  { to: "/deployments/$deploymentId/webhook", label: deploymentTexts.deployments.webhook },
] as const;

export function DeploymentScreen() {
  const { deploymentId } = route.useParams();
  const deployment = hooks.useQuery("get", "/node/deployments/{deployment_id}/", {
    params: { path: { deployment_id: deploymentId } },
  });
  return <Loaded query={deployment}>{(loaded) => <DeploymentPage deployment={loaded} />}</Loaded>;
}

function DeploymentPage({ deployment }: { deployment: Deployment }) {
  const { id, name, execution_mode, deployment_type, models, trigger_url: url, warnings } = deployment;
  return (
    <Page
      title={name}
      area={deploymentTexts.deployments.title}
      facts={
        <>
          <DeploymentState deployment={deployment} />
          {models.map((pin) => (
            <ServerState key={pin.node} pin={pin} deploymentId={id} />
          ))}
          <span>{deploymentTexts.deployments.kindOf(execution_mode, deployment_type)}</span>
          <Id id={id} />
        </>
      }
      actions={<DeploymentActions deployment={deployment} />}
    >
      {warnings.map((warning) => (
        <Notice key={`${warning.code} ${warning.model}`} kind="warn">
          <p>{warning.message}</p>
        </Notice>
      ))}
      <div className={styles.url}>
        <code>{url}</code>
        <CopyButton text={url} />
      </div>
      <Tabs label={deploymentTexts.deployments.tabs}>
        {TABS.map(({ to, label }) => (
          <Tab key={to} to={to} params={{ deploymentId: id }} activeProps={{ "aria-current": "page" }}>
            {label}
          </Tab>
        ))}
      </Tabs>
      <Outlet />
    </Page>
  );
}
