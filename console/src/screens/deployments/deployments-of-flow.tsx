import { api } from "../../api/client";
import { useList } from "../../api/lists";
import { deploymentTexts } from "../../strings/deployments";
import { flowDeploymentTexts } from "../../strings/flow-deployments";
import { ButtonLink } from "../../ui/button";
import { List } from "../../ui/list";
import { EmptyState } from "../../ui/page";
import { DEPLOYMENT_COLUMNS } from "./deployment-columns";

export function DeploymentsOfFlow({ flowId }: { flowId: string }) {
  const deployments = useList(`/node/deployments/?flow_id=${flowId}`, async (query) => {
    const { data } = await api.GET("/node/deployments/", {
      params: { query: { ...query, flow_id: flowId } },
    });
    return data;
  });
  return (
    <List
      label={flowDeploymentTexts.deployments}
      query={deployments}
      columns={DEPLOYMENT_COLUMNS}
      keyOf={(deployment) => deployment.id}
      empty={
        <EmptyState
          text={flowDeploymentTexts.noDeployments}
          action={
            <ButtonLink to="/flows/$flowId/deploy/new" params={{ flowId }}>
              {deploymentTexts.deploy.title}
            </ButtonLink>
          }
        />
      }
    />
  );
}
