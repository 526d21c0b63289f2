import { api } from "../../api/client";
import type { components } from "../../api/schema";

type DeploymentIn = components["schemas"]["DeploymentIn"];
type Deployment = components["schemas"]["NewDeploymentOut"];
export type DeploymentPlan = components["schemas"]["DeploymentPlanOut"];

/** Deploy a flow, with its key and its servers. */
export async function deploy(body: DeploymentIn): Promise<Deployment> {
  const { data } = await api.POST("/node/deployments/", { body });
  if (!data || !("id" in data)) throw new Error("an answer without a deployment");
  return data;
}

/** Return what would become of a deployment: nothing is made. */
export async function planDeployment(body: DeploymentIn): Promise<DeploymentPlan> {
  const { data } = await api.POST("/node/deployments/", { params: { query: { dry_run: true } }, body });
  if (!data || !("deployable" in data)) throw new Error("an answer without a plan");
  return data;
}

/** Start the inference server of a deployment's live version. */
export async function startServerOf(deploymentId: string): Promise<void> {
  await api.POST("/node/inference-servers/", { body: { deployment_id: deploymentId } });
}
