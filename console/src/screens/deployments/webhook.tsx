import { useMutation, useQueryClient } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { api, hooks } from "../../api/client";
import type { components } from "../../api/schema";
import { deploymentTexts } from "../../strings/deployments";
import { Loaded } from "../../ui/loading";
import { useHeld } from "../../ui/use-held";
import { SaveSecretDialog } from "../webhooks/save-secret";
import styles from "./deployment.module.css";
import { WebhookForm } from "./webhook-form";
import { WebhookState } from "./webhook-state";

type Deployment = components["schemas"]["DeploymentOut"];

const ENDPOINT = "/node/webhooks/endpoints/{deployment_id}/";
const route = getRouteApi("/app/deployments/$deploymentId/webhook");

/** Where events of a deployment's runs are sent, and whether they arrive. */
export function WebhookTab() {
  const { deploymentId } = route.useParams();
  const deployment = hooks.useQuery("get", "/node/deployments/{deployment_id}/", {
    params: { path: { deployment_id: deploymentId } },
  });
  return <Loaded query={deployment}>{(loaded) => <Webhook key={deploymentId} deployment={loaded} />}</Loaded>;
}

function Webhook({ deployment }: { deployment: Deployment }) {
  const isSet = deployment.notification_method === "webhook";
  const queries = useQueryClient();
  const save = useMutation({
    mutationFn: async (body: components["schemas"]["DeploymentPatch"]) => {
      const { data } = await api.PATCH("/node/deployments/{deployment_id}/", {
        params: { path: { deployment_id: deployment.id } },
        body,
      });
      return data?.webhook_secret ?? null;
    },
    onSuccess: () => {
      // The state of a webhook that was removed would be asked for once more.
      void queries.invalidateQueries({ predicate: ({ queryKey }) => queryKey[1] !== ENDPOINT });
    },
    gcTime: 0, // the secret stays in memory no longer than its dialog
  });
  useHeld(save);
  return (
    <div className={styles.stack}>
      {isSet ? <WebhookState deploymentId={deployment.id} /> : <p>{deploymentTexts.webhook.none}</p>}
      <WebhookForm deployment={deployment} save={save} />
      {save.data ? <SaveSecretDialog secret={save.data} onDone={save.reset} /> : null}
    </div>
  );
}
