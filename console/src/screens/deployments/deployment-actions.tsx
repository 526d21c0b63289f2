import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { Ellipsis } from "lucide-react";
import { useState } from "react";
import { api } from "../../api/client";
import type { components } from "../../api/schema";
import { deploymentTexts } from "../../strings/deployments";
import { ButtonLink, IconButton } from "../../ui/button";
import { Menu } from "../../ui/menu";
import { ErrorNotice } from "../../ui/notice";
import { DeleteDialog } from "./delete-dialog";
import styles from "./deployment.module.css";

type Deployment = components["schemas"]["DeploymentOut"];

/** What can be done with a deployment: redeploy, and in a menu the rest. */
export function DeploymentActions({ deployment }: { deployment: Deployment }) {
  const [deletes, setDeletes] = useState(false);
  const navigate = useNavigate();
  const toggle = usePause(deployment);
  const params = { deploymentId: deployment.id };
  const isPaused = deployment.status === "paused";
  return (
    <span className={styles.actions}>
      <ButtonLink to="/deployments/$deploymentId/redeploy" params={params}>
        {deploymentTexts.deployments.redeploy}
      </ButtonLink>
      <Menu
        trigger={
          <IconButton label={deploymentTexts.deployments.more(deployment.name)}>
            <Ellipsis size={16} aria-hidden />
          </IconButton>
        }
        actions={[
          {
            label: isPaused ? deploymentTexts.deployments.resume : deploymentTexts.deployments.pause,
            onSelect: () => toggle.mutate(),
          },
          {
            label: deploymentTexts.deployments.code,
            onSelect: () => void navigate({ to: "/deployments/$deploymentId/code", params }),
          },
          {
            label: deploymentTexts.deployments.try,
            onSelect: () => void navigate({ to: "/deployments/$deploymentId/try", params }),
          },
          {
            label: deploymentTexts.deployments.versions,
            onSelect: () => void navigate({ to: "/deployments/$deploymentId/versions", params }),
          },
          {
            label: deploymentTexts.deployments.settings,
            onSelect: () => void navigate({ to: "/deployments/$deploymentId/settings", params }),
          },
          { label: deploymentTexts.deployments.delete, onSelect: () => setDeletes(true), danger: true },
        ]}
      />
      {toggle.error ? <ErrorNotice error={toggle.error} /> : null}
      {deletes ? <DeleteDialog deployment={deployment} onClose={() => setDeletes(false)} /> : null}
    </span>
  );
}

/** Pause a deployment, or resume a paused one. */
function usePause({ id, status }: Deployment) {
  const queries = useQueryClient();
  const params = { path: { deployment_id: id } };
  return useMutation({
    mutationFn: () =>
      status === "paused"
        ? api.POST("/node/deployments/{deployment_id}/resume/", { params })
        : api.POST("/node/deployments/{deployment_id}/pause/", { params }),
    onSuccess: () => queries.invalidateQueries(),
  });
}
