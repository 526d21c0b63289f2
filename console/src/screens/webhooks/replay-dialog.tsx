import { useState } from "react";
import { bodyOf, useChange } from "../../api/change";
import { api } from "../../api/client";
import { t } from "../../strings";
import { webhookTexts } from "../../strings/webhooks";
import { AsCurl } from "../../ui/as-curl";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { Field } from "../../ui/field";
import { Loaded } from "../../ui/loading";
import { ErrorNotice } from "../../ui/notice";
import { Select } from "../../ui/select";
import { toast } from "../../ui/toast";
import { useEndpoints, WEBHOOKS } from "./queries";

/** Hours back from now. */
const SPANS = ["1", "24", "168"] as const;

type Span = (typeof SPANS)[number];

/** Sends undelivered events of a deployment again. */
export function ReplayDialog({
  deployment,
  onClose,
}: {
  deployment: string | undefined;
  onClose: () => void;
}) {
  const endpoints = useEndpoints();
  const [target, choose] = useState(deployment);
  const [span, setSpan] = useState<Span>("24");
  const [newest] = endpoints.data ?? [];
  if (target === undefined && newest) choose(newest.deployment_id); // a newer one does not take its place
  const replay = useChange(
    async (deploymentId: string) =>
      bodyOf(
        await api.POST("/node/webhooks/endpoints/{deployment_id}/replay/", {
          params: { path: { deployment_id: deploymentId } },
          body: bodyOfReplay(span),
        }),
      ),
    {
      reloads: [WEBHOOKS],
      onDone: ({ replayed }) => toast(webhookTexts.replayed(replayed)),
    },
  );
  return (
    <Dialog
      title={webhookTexts.replayTitle}
      narrow
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>{t.common.cancel}</Button>
          <Button
            look="primary"
            disabled={!target || replay.isPending}
            onClick={() => target && replay.mutate(target, { onSuccess: onClose })}
          >
            {webhookTexts.replay}
          </Button>
        </>
      }
    >
      <p>{webhookTexts.replayText}</p>
      <Loaded query={endpoints} rows={2}>
        {(found) => (found.length ? null : <p>{webhookTexts.noEndpoints}</p>)}
      </Loaded>
      {target && endpoints.data?.length ? (
        <>
          <Field label={webhookTexts.deployment}>
            <Select
              value={target}
              onChange={choose}
              options={endpoints.data.map((endpoint) => ({
                value: endpoint.deployment_id,
                label: endpoint.deployment_name,
              }))}
            />
          </Field>
          <Field label={webhookTexts.replaySince}>
            <Select
              value={span}
              onChange={setSpan}
              options={SPANS.map((value) => ({ value, label: webhookTexts.spans[value] ?? value }))}
            />
          </Field>
        </>
      ) : null}
      {replay.error ? <ErrorNotice error={replay.error} /> : null}
      {target ? (
        <AsCurl
          calls={[
            {
              method: "POST",
              path: `/node/webhooks/endpoints/${target}/replay/`,
              body: bodyOfReplay(span),
            },
          ]}
        />
      ) : null}
    </Dialog>
  );
}

function bodyOfReplay(span: Span) {
  return { since: new Date(Date.now() - Number(span) * 3_600_000).toISOString(), only_failed: true };
}
