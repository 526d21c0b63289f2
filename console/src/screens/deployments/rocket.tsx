import { getRouteApi, Outlet } from "@tanstack/react-router";
import { Rocket } from "lucide-react";
import { hooks } from "../../api/client";
import { t } from "../../strings";
import { deploymentTexts } from "../../strings/deployments";
import { ButtonLink } from "../../ui/button";
import { Loaded } from "../../ui/loading";
import { Page } from "../../ui/page";
import { FlowRail } from "../editor/flow-rail";
import { modelsOf } from "../flows/flow-nodes";
import { ModelWarnings } from "../flows/model-warnings";
import styles from "./deployment.module.css";
import { DeploymentsOfFlow } from "./deployments-of-flow";

const route = getRouteApi("/app/flows/$flowId/deploy");

/** The deployments of a flow, and the button that makes one. */
export function RocketScreen() {
  const { flowId } = route.useParams();
  const flow = hooks.useQuery("get", "/node/flows/{flow_id}/", { params: { path: { flow_id: flowId } } });
  return (
    <div className={styles.withRail}>
      <FlowRail flowId={flowId} />
      <div>
        <Loaded query={flow}>
          {(loaded) => (
            <Page
              title={deploymentTexts.deployments.rocket(loaded.name)}
              area={t.flows.title}
              actions={
                <ButtonLink to="/flows/$flowId/deploy/new" params={{ flowId }} look="primary">
                  <Rocket size={16} aria-hidden />
                  {deploymentTexts.deploy.title}
                </ButtonLink>
              }
            >
              {modelsOf(loaded).map((model) => (
                <ModelWarnings key={model} model={model} />
              ))}
              <DeploymentsOfFlow flowId={flowId} />
            </Page>
          )}
        </Loaded>
        <Outlet />
      </div>
    </div>
  );
}
