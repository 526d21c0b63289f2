import { useMutation, useQueryClient } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useState } from "react";
import { api, hooks } from "../../api/client";
import { ProblemError } from "../../api/problem";
import type { components } from "../../api/schema";
import { t } from "../../strings";
import { deploymentTexts } from "../../strings/deployments";
import { AsCurl } from "../../ui/as-curl";
import { Button, ButtonLink } from "../../ui/button";
import { Checkbox } from "../../ui/choice";
import { Dialog } from "../../ui/dialog";
import { Field, TextInput } from "../../ui/field";
import { Skeleton } from "../../ui/loading";
import { ErrorNotice, Notice } from "../../ui/notice";
import { toast } from "../../ui/toast";
import { useBack } from "../../ui/use-back";
import styles from "./deployment.module.css";
import { breakingLines } from "./difference-lines";
import { DifferenceTable } from "./difference-table";
import { makerOf } from "./maker";
import { usePromotion } from "./promotion";
import { RehearsalPart } from "./rehearsal";

type Deployment = components["schemas"]["DeploymentOut"];
type Difference = components["schemas"]["DifferenceOut"];

const route = getRouteApi("/app/deployments/$deploymentId/redeploy");

/** Deploys the draft as a new version: what changes is shown first. */
export function RedeployDialog() {
  const { deploymentId } = route.useParams();
  const navigate = route.useNavigate();
  const path = { deployment_id: deploymentId };
  const deployment = hooks.useQuery("get", "/node/deployments/{deployment_id}/", { params: { path } });
  const difference = hooks.useQuery(
    "get",
    "/node/deployments/{deployment_id}/diff/",
    { params: { path } },
    { staleTime: 0, gcTime: 0 },
  );
  const toVersions = () =>
    void navigate({ to: "/deployments/$deploymentId/versions", params: { deploymentId } });
  const close = useBack(toVersions);
  if (deployment.data && difference.data)
    return (
      <Redeploy
        deployment={deployment.data}
        difference={difference.data}
        onClose={close}
        onDone={toVersions}
      />
    );
  const error = deployment.error ?? difference.error;
  return (
    <Dialog title={deploymentTexts.deployments.redeploy} onClose={close}>
      {error ? <ErrorNotice error={error} /> : <Skeleton rows={6} />}
    </Dialog>
  );
}

interface RedeployProps {
  deployment: Deployment;
  difference: Difference;
  onClose: () => void;
  onDone: () => void;
}

function Redeploy({ deployment, difference, onClose, onDone }: RedeployProps) {
  const [note, setNote] = useState("");
  /** The difference of which it is ticked that callers know. */
  const [told, setTold] = useState<Difference | null>(null);
  const body = note.trim() ? { name: note.trim() } : {};
  const breaking = breakingLines(difference).length;
  const queries = useQueryClient();
  const { promote } = usePromotion(deployment.id);
  const before = deployment.version;
  const redeploy = useMutation({
    mutationFn: async (_before: number) => {
      const { data } = await api.POST("/node/deployments/{deployment_id}/redeploy/", {
        params: { path: { deployment_id: deployment.id } },
        body,
      });
      if (!data) throw new Error("an answer without a body");
      return data;
    },
    onSuccess: ({ version }, before) => {
      void queries.invalidateQueries();
      toast(deploymentTexts.redeploy.live(version), {
        label: deploymentTexts.redeploy.rollBack(before),
        onPress: () => promote(before),
      });
    },
    onError: () => queries.invalidateQueries(),
  });
  const isHeld = difference.problem !== null || (breaking > 0 && told !== difference) || redeploy.isPending;
  return (
    <Dialog
      title={deploymentTexts.redeploy.title(deployment.name)}
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>{t.common.cancel}</Button>
          <Button
            look="primary"
            disabled={isHeld}
            onClick={() => redeploy.mutate(before, { onSuccess: onDone })}
          >
            {redeploy.isPending
              ? deploymentTexts.redeploy.working
              : deploymentTexts.redeploy.submit(deployment.newest_version + 1)}
          </Button>
        </>
      }
    >
      {difference.problem === null ? null : (
        <Notice
          kind="bad"
          title={deploymentTexts.redeploy.problem}
          action={
            <ButtonLink to="/flows/$flowId" params={{ flowId: deployment.flow_id }}>
              {deploymentTexts.redeploy.toEditor}
            </ButtonLink>
          }
        >
          <p>{difference.problem}</p>
        </Notice>
      )}
      {difference.same && difference.problem === null ? (
        <p className={styles.hint}>{deploymentTexts.redeploy.same}</p>
      ) : null}
      {difference.same ? null : <DifferenceTable difference={difference} />}
      {difference.problem === null ? (
        <RehearsalPart deploymentId={deployment.id} flowId={deployment.flow_id} />
      ) : null}
      {breaking ? (
        <Notice kind="warn" title={deploymentTexts.redeploy.breaking(breaking)}>
          <Checkbox
            label={deploymentTexts.redeploy.mustChange}
            checked={told === difference}
            onChange={(isTold) => setTold(isTold ? difference : null)}
          />
        </Notice>
      ) : null}
      <Field label={deploymentTexts.redeploy.note} hint={deploymentTexts.redeploy.noteHint}>
        <TextInput value={note} onValueChange={setNote} maxLength={200} />
      </Field>
      <p className={styles.hint}>{deploymentTexts.redeploy.keeps(before)}</p>
      <AsCurl calls={[{ method: "POST", path: `/node/deployments/${deployment.id}/redeploy/`, body }]} />
      {redeploy.error ? <Refused error={redeploy.error} deploymentId={deployment.id} /> : null}
    </Dialog>
  );
}

/** Why a redeploy was refused; where another one was quicker, whose. */
function Refused({ error, deploymentId }: { error: unknown; deploymentId: string }) {
  const isConflict = error instanceof ProblemError && error.problem.code === "conflict";
  const newest = hooks.useQuery(
    "get",
    "/node/deployments/{deployment_id}/versions/",
    { params: { path: { deployment_id: deploymentId }, query: { limit: 50 } } },
    { enabled: isConflict, staleTime: 0 },
  );
  const live = newest.data?.items.find((version) => version.live);
  if (!isConflict || !live) return <ErrorNotice error={error} />;
  return (
    <Notice kind="bad" title={deploymentTexts.redeploy.conflict}>
      <p>{deploymentTexts.redeploy.conflictOf(live.version, makerOf(live))}</p>
    </Notice>
  );
}
