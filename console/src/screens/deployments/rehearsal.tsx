import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, hooks } from "../../api/client";
import { usePolling } from "../../api/polling";
import { ProblemError } from "../../api/problem";
import type { components } from "../../api/schema";
import { Time } from "../../formats/time";
import { deploymentTexts } from "../../strings/deployments";
import { Button } from "../../ui/button";
import { Field } from "../../ui/field";
import { ErrorNotice, Notice } from "../../ui/notice";
import { Select } from "../../ui/select";
import styles from "./deployment.module.css";
import { RehearsalResults } from "./rehearsal-results";

type Rehearsal = components["schemas"]["RehearsalOut"];

const COUNTS = ["5", "10", "20", "50"] as const;
/** The stream of changes tells of progress; this is for when it is away. */
const POLL_MILLISECONDS = 3000;

/** Runs the draft on recorded inputs, and shows where it answers something else than the live version did. */
export function RehearsalPart({ deploymentId, flowId }: { deploymentId: string; flowId: string }) {
  const [last, setLast] = useState<string>("20");
  const queries = useQueryClient();
  const path = { deployment_id: deploymentId };
  const kept = hooks.useQuery(
    "get",
    "/node/deployments/{deployment_id}/rehearsals/",
    { params: { path } },
    {
      staleTime: 0,
      refetchInterval: usePolling((data?: { items: Rehearsal[] }) =>
        data?.items[0]?.state === "running" ? POLL_MILLISECONDS : false,
      ),
    },
  );
  const refresh = () =>
    queries.invalidateQueries({ queryKey: ["get", "/node/deployments/{deployment_id}/rehearsals/"] });
  const begin = useMutation({
    mutationFn: (allowRequests: boolean) =>
      api.POST("/node/deployments/{deployment_id}/rehearse/", {
        params: { path },
        body: { last: Number(last), allow_requests: allowRequests },
      }),
    onSettled: refresh,
  });
  const cancel = useMutation({
    mutationFn: () => api.POST("/node/deployments/{deployment_id}/rehearsals/cancel/", { params: { path } }),
    onSettled: refresh,
  });
  const flow = hooks.useQuery("get", "/node/flows/{flow_id}/", { params: { path: { flow_id: flowId } } });
  const rehearsal = kept.data?.items[0];
  const isBusy = begin.isPending || rehearsal?.state === "running";
  return (
    <section className={styles.rehearsal} aria-labelledby="rehearsal-title">
      <h3 id="rehearsal-title">{deploymentTexts.rehearsal.title}</h3>
      <p className={styles.hint}>{deploymentTexts.rehearsal.lead}</p>
      <div className={styles.begin}>
        <Field label={deploymentTexts.rehearsal.last}>
          <Select
            options={COUNTS.map((value) => ({
              value,
              label: deploymentTexts.rehearsal.lastOf(Number(value)),
            }))}
            value={last}
            onChange={setLast}
          />
        </Field>
        <Button disabled={isBusy} onClick={() => begin.mutate(false)}>
          {deploymentTexts.rehearsal.begin(Number(last))}
        </Button>
        {rehearsal?.state === "running" ? (
          <Button disabled={cancel.isPending} onClick={() => cancel.mutate()}>
            {deploymentTexts.rehearsal.cancel}
          </Button>
        ) : null}
      </div>
      {begin.error ? (
        <Refused error={begin.error} last={Number(last)} onAllow={() => begin.mutate(true)} />
      ) : null}
      {cancel.error && rehearsal?.state === "running" ? <ErrorNotice error={cancel.error} /> : null}
      {rehearsal ? <Shown rehearsal={rehearsal} savedAt={flow.data?.updated_at} /> : null}
    </section>
  );
}

interface RefusedProps {
  error: unknown;
  last: number;
  onAllow: () => void;
}

/** Why nothing was begun; nodes that call other systems are asked for. */
function Refused({ error, last, onAllow }: RefusedProps) {
  const nodes = error instanceof ProblemError ? (error.problem as { nodes?: unknown }).nodes : undefined;
  if (!Array.isArray(nodes)) return <ErrorNotice error={error} />;
  return (
    <Notice
      kind="warn"
      title={deploymentTexts.rehearsal.calling}
      announced
      action={<Button onClick={onAllow}>{deploymentTexts.rehearsal.allow}</Button>}
    >
      <p>{deploymentTexts.rehearsal.callingText(nodes.join(", "), last)}</p>
    </Notice>
  );
}

function Shown({ rehearsal, savedAt }: { rehearsal: Rehearsal; savedAt: string | undefined }) {
  const { state, total, done } = rehearsal;
  const isOfEarlierDraft = savedAt !== undefined && savedAt !== rehearsal.drafted_at;
  if (total === 0) return <p role="status">{deploymentTexts.rehearsal.nothing}</p>;
  return (
    <>
      {state === "running" ? (
        <label className={styles.progress}>
          {deploymentTexts.rehearsal.progress(done, total)}
          <progress value={done} max={total} />
        </label>
      ) : (
        <p className={styles.hint}>
          {deploymentTexts.rehearsal.progress(done, total)} <Time iso={rehearsal.created_at} />
        </p>
      )}
      {state === "stopped" ? <Notice kind="warn">{deploymentTexts.rehearsal.stopped}</Notice> : null}
      {isOfEarlierDraft ? <Notice kind="warn">{deploymentTexts.rehearsal.earlierDraft}</Notice> : null}
      <RehearsalResults rehearsal={rehearsal} />
    </>
  );
}
