import { useState } from "react";
import { hooks } from "../../api/client";
import type { components } from "../../api/schema";
import { t } from "../../strings";
import { flowTexts } from "../../strings/flows";
import { AsCurl } from "../../ui/as-curl";
import { Button } from "../../ui/button";
import { Choice } from "../../ui/choice";
import { Dialog } from "../../ui/dialog";
import { Loaded } from "../../ui/loading";
import { Section } from "../../ui/page";
import { ChangeList } from "./change-list";
import { graphChanges } from "./graph-changes";
import { usePresent, useRestore, useVersionGraph } from "./queries";
import { NotRestored } from "./revision-details";

type Deployment = components["schemas"]["DeploymentOut"];

/** The newest deployments are offered. */
const OFFERED = 50;
const texts = flowTexts.history.live;

/** Makes the graph of a live version the draft again. */
export function LiveDialog({ flowId, onClose }: { flowId: string; onClose: () => void }) {
  const deployments = hooks.useQuery("get", "/node/deployments/", {
    params: { query: { flow_id: flowId, limit: OFFERED } },
  });
  const [picked, setPicked] = useState<string | null>(null);
  const items = deployments.data?.items ?? [];
  const [newest] = items;
  if (picked === null && newest) setPicked(newest.id); // a newer one does not take its place
  const chosen = items.find(({ id }) => id === picked) ?? newest;
  const present = usePresent(flowId);
  const live = useVersionGraph(chosen, present.data?.value.name ?? "");
  const restore = useRestore(flowId);
  const changes = present.data && live.data ? graphChanges(present.data.value, live.data) : null;
  const send = ({ name, version }: Deployment) => {
    if (!present.data || !live.data) return;
    restore.mutate(
      { flow: live.data, present: present.data, done: texts.restored(version, name) },
      { onSuccess: onClose },
    );
  };
  return (
    <Dialog
      title={texts.title}
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>{t.common.cancel}</Button>
          <Button
            look="primary"
            disabled={!chosen || !changes?.length || restore.isPending}
            onClick={() => chosen && send(chosen)}
          >
            {texts.submit}
          </Button>
        </>
      }
    >
      <Loaded query={deployments} rows={2}>
        {() =>
          chosen ? (
            <>
              <Choice
                label={texts.choose}
                value={chosen.id}
                onChange={setPicked}
                options={items.map(({ id, name, version }) => ({
                  value: id,
                  label: name,
                  hint: texts.version(version),
                }))}
              />
              <Section title={flowTexts.history.restores}>
                <Loaded query={present} rows={2}>
                  {() => (
                    <Loaded query={live} rows={2}>
                      {() =>
                        changes?.length === 0 ? (
                          <p>{flowTexts.history.same}</p>
                        ) : (
                          <ChangeList changes={changes ?? []} />
                        )
                      }
                    </Loaded>
                  )}
                </Loaded>
              </Section>
              <AsCurl
                calls={[
                  {
                    method: "PATCH",
                    path: `/node/flows/${flowId}/`,
                    file: "graph.json",
                    comment: texts.curl(`/node/deployments/${chosen.id}/versions/${chosen.version}/`),
                  },
                ]}
              />
            </>
          ) : (
            <p>{texts.none}</p>
          )
        }
      </Loaded>
      {restore.error ? <NotRestored error={restore.error} /> : null}
    </Dialog>
  );
}
