import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { api } from "../../api/client";
import { t } from "../../strings";
import { modelTexts } from "../../strings/models";
import { AsCurl } from "../../ui/as-curl";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { ErrorNotice } from "../../ui/notice";
import styles from "./models.module.css";
import type { ModelSummary } from "./summaries";

interface DeleteVersionProps {
  /** What is known of the model; null: nothing yet. */
  model: ModelSummary | null;
  name: string;
  version: number;
  onClose: () => void;
}

/** Asks before a version is deleted, and says what keeps it from that. */
export function DeleteVersionDialog({ model, name, version, onClose }: DeleteVersionProps) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const remove = useMutation({
    mutationFn: () =>
      api.DELETE("/node/models/{name}/versions/{version}/", {
        params: { path: { name, version: String(version) } },
      }),
    onSuccess: async () => {
      // Its own page would ask for it again, and there is none.
      const page = `/models/${encodeURIComponent(name)}/versions/${version}`;
      if (window.location.pathname.endsWith(page)) await navigate({ to: "/models", search: {} });
      await queries.invalidateQueries();
    },
  });
  const reasons = model ? dependents(model, version) : [];
  return (
    <Dialog
      title={modelTexts.deleteVersion.title(name, version)}
      narrow
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>{t.common.cancel}</Button>
          <Button
            look="danger"
            disabled={reasons.length > 0 || remove.isPending}
            onClick={() => remove.mutate()}
          >
            {modelTexts.deleteVersion.submit}
          </Button>
        </>
      }
    >
      <div className={styles.form}>
        {reasons.length ? (
          <div>
            <p>{modelTexts.deleteVersion.blocked}</p>
            <ul className={styles.blocked}>
              {reasons.map((reason) => (
                <li key={reason}>{reason}</li>
              ))}
            </ul>
          </div>
        ) : (
          <p>{modelTexts.deleteVersion.text}</p>
        )}
        {remove.error ? <ErrorNotice error={remove.error} /> : null}
        <AsCurl calls={[{ method: "DELETE", path: `/node/models/${name}/versions/${version}/` }]} />
      </div>
    </Dialog>
  );
}

function dependents({ serving, labels, used_by }: ModelSummary, version: number): string[] {
  const isServed = serving.some((server) => server.version === version && server.desired !== "stopped");
  return [
    ...(isServed ? [modelTexts.deleteVersion.server] : []),
    ...Object.entries(labels)
      .filter(([, number]) => number === version)
      .map(([label]) => modelTexts.deleteVersion.label(label)),
    ...used_by
      .filter((each) => each.version === version)
      .map((each) => modelTexts.deleteVersion.deployment(each.name)),
  ];
}
