import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { api, hooks } from "../../api/client";
import { t } from "../../strings";
import { flowTexts } from "../../strings/flows";
import { AsCurl } from "../../ui/as-curl";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { Loaded } from "../../ui/loading";
import { ErrorNotice } from "../../ui/notice";
import { toast } from "../../ui/toast";
import styles from "./flow-list.module.css";

/** The deployments that are named. */
const NAMED = 20;

interface DeleteFlowProps {
  flow: { id: string; name: string };
  onClose: () => void;
  /** Forgets what the editor has of it. */
  onDiscard?: (() => void) | undefined;
}

/** Asks before a flow is deleted; names the deployments that keep it from that. */
export function DeleteFlowDialog({ flow: { id, name }, onClose, onDiscard }: DeleteFlowProps) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const deployments = hooks.useQuery("get", "/node/deployments/", {
    params: { query: { flow_id: id, limit: NAMED } },
  });
  const remove = useMutation({
    mutationFn: () => api.DELETE("/node/flows/{flow_id}/", { params: { path: { flow_id: id } } }),
    onSuccess: async () => {
      onClose();
      onDiscard?.();
      // Its own pages would ask for it again, and there is none.
      if (window.location.pathname.includes(id)) await navigate({ to: "/flows", search: {} });
      toast(flowTexts.actions.deleted(name));
      await queries.invalidateQueries({ predicate: ({ queryKey }) => queryKey[0] === "list" });
    },
  });
  const isFree = deployments.data?.items.length === 0;
  return (
    <Dialog
      title={flowTexts.delete.title(name)}
      narrow
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>{t.common.cancel}</Button>
          <Button look="danger" disabled={!isFree || remove.isPending} onClick={() => remove.mutate()}>
            {flowTexts.delete.submit}
          </Button>
        </>
      }
    >
      <Loaded query={deployments} rows={2}>
        {({ items, next_cursor }) =>
          items.length === 0 ? (
            <p>{flowTexts.delete.text}</p>
          ) : (
            <>
              <p>{flowTexts.delete.blocked}</p>
              <ul className={styles.blocking}>
                {items.map((deployment) => (
                  <li key={deployment.id}>
                    <Link to="/deployments/$deploymentId/settings" params={{ deploymentId: deployment.id }}>
                      {deployment.name}
                    </Link>
                  </li>
                ))}
                {next_cursor ? <li>{flowTexts.delete.more}</li> : null}
              </ul>
            </>
          )
        }
      </Loaded>
      {remove.error ? <ErrorNotice error={remove.error} /> : null}
      {isFree ? <AsCurl calls={[{ method: "DELETE", path: `/node/flows/${id}/` }]} /> : null}
    </Dialog>
  );
}
