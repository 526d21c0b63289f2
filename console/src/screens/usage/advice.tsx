import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, hooks } from "../../api/client";
import type { components } from "../../api/schema";
import { t } from "../../strings";
import { usageTexts } from "../../strings/usage";
import { AsCurl } from "../../ui/as-curl";
import { Button } from "../../ui/button";
import { CodeBlock } from "../../ui/copy";
import { Dialog } from "../../ui/dialog";
import { ErrorNotice, Notice } from "../../ui/notice";
import { toast } from "../../ui/toast";

type Item = components["schemas"]["AdviceOut"];

/** What the calls of a day say about the settings; each change is shown before it is made. */
export function Advice({ deploymentId }: { deploymentId: string }) {
  const [chosen, setChosen] = useState<Item | null>(null);
  const advice = hooks.useQuery("get", "/node/deployments/{deployment_id}/advice/", {
    params: { path: { deployment_id: deploymentId } },
  });
  return (
    <>
      {advice.data?.items.map((item) => (
        <Notice
          key={item.code}
          kind="info"
          title={usageTexts.advice}
          action={<Button onClick={() => setChosen(item)}>{usageTexts.showChange}</Button>}
        >
          <p>{item.text}</p>
        </Notice>
      ))}
      {chosen ? (
        <FixDialog deploymentId={deploymentId} item={chosen} onClose={() => setChosen(null)} />
      ) : null}
    </>
  );
}

interface FixDialogProps {
  deploymentId: string;
  item: Item;
  onClose: () => void;
}

function FixDialog({ deploymentId, item, onClose }: FixDialogProps) {
  const body = { [item.fix.field]: item.fix.value };
  const queries = useQueryClient();
  const change = useMutation({
    mutationFn: () =>
      api.PATCH("/node/deployments/{deployment_id}/", {
        params: { path: { deployment_id: deploymentId } },
        body,
      }),
    onSuccess: () => {
      void queries.invalidateQueries();
      toast(usageTexts.changed);
    },
  });
  return (
    <Dialog
      title={usageTexts.changeTitle}
      narrow
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>{t.common.cancel}</Button>
          <Button
            look="primary"
            disabled={change.isPending}
            onClick={() => change.mutate(undefined, { onSuccess: onClose })}
          >
            {usageTexts.change}
          </Button>
        </>
      }
    >
      <p>{item.text}</p>
      <CodeBlock label={usageTexts.changeLabel} code={JSON.stringify(body, null, 2)} />
      {change.error ? <ErrorNotice error={change.error} /> : null}
      <AsCurl calls={[{ method: "PATCH", path: `/node/deployments/${deploymentId}/`, body }]} />
    </Dialog>
  );
}
