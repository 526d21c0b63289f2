import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { api } from "../../api/client";
import type { components } from "../../api/schema";
import { t } from "../../strings";
import { deploymentTexts } from "../../strings/deployments";
import { AsCurl } from "../../ui/as-curl";
import { Button } from "../../ui/button";
import { Checkbox } from "../../ui/choice";
import { Dialog } from "../../ui/dialog";
import { ErrorNotice } from "../../ui/notice";

type Deployment = components["schemas"]["DeploymentOut"];

interface DeleteDialogProps {
  deployment: Deployment;
  onClose: () => void;
}

/** Asks before a deployment is deleted, and says what goes with it. */
export function DeleteDialog({ deployment, onClose }: DeleteDialogProps) {
  const [cancels, setCancels] = useState(false);
  const runs = cancels ? "cancel" : "finish";
  const queries = useQueryClient();
  const navigate = useNavigate();
  const remove = useMutation({
    mutationFn: () =>
      api.DELETE("/node/deployments/{deployment_id}/", {
        params: { path: { deployment_id: deployment.id }, query: { runs } },
      }),
    onSuccess: async () => {
      onClose();
      // Its own page would ask for it again, and there is none.
      if (window.location.pathname.includes(deployment.id)) await navigate({ to: "/deployments" });
      await queries.invalidateQueries({ predicate: ({ queryKey }) => queryKey[0] === "list" });
    },
  });
  return (
    <Dialog
      title={deploymentTexts.deleteDeployment.title(deployment.name)}
      narrow
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>{t.common.cancel}</Button>
          <Button look="danger" disabled={remove.isPending} onClick={() => remove.mutate()}>
            {deploymentTexts.deleteDeployment.submit}
          </Button>
        </>
      }
    >
      <p>{deploymentTexts.deleteDeployment.text}</p>
      <Checkbox label={deploymentTexts.deleteDeployment.cancelRuns} checked={cancels} onChange={setCancels} />
      {remove.error ? <ErrorNotice error={remove.error} /> : null}
      <AsCurl calls={[{ method: "DELETE", path: `/node/deployments/${deployment.id}/?runs=${runs}` }]} />
    </Dialog>
  );
}
