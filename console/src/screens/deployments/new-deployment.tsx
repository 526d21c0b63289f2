import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { type FormEvent, type KeyboardEvent, useState } from "react";
import { hooks } from "../../api/client";
import { fieldErrors } from "../../api/problem";
import type { components } from "../../api/schema";
import { t } from "../../strings";
import { deploymentTexts } from "../../strings/deployments";
import { AsCurl } from "../../ui/as-curl";
import { Button } from "../../ui/button";
import { Choice } from "../../ui/choice";
import { Dialog } from "../../ui/dialog";
import { Skeleton } from "../../ui/loading";
import { ErrorNotice } from "../../ui/notice";
import { useBack } from "../../ui/use-back";
import { useDebounced } from "../../ui/use-debounced";
import { useHeld } from "../../ui/use-held";
import { canBeFast, modelsOf } from "../flows/flow-nodes";
import { SaveSecretDialog } from "../webhooks/save-secret";
import { deploy, planDeployment } from "./deploy";
import styles from "./deployment.module.css";
import { bodyOf, type DeploymentForm, initialForm, isCallbackUrl } from "./new-deployment-form";
import { isFieldShown, NewDeploymentOptions } from "./new-deployment-options";
import { PlanSummary } from "./plan-summary";
import { SaveKeyDialog } from "./save-key";

type Flow = components["schemas"]["FlowOut"];
type Preset = components["schemas"]["PresetOut"];

const route = getRouteApi("/app/flows/$flowId/deploy/new");
const FORM = "new-deployment";
const TYPING_MILLISECONDS = 250;

/** The dialog that deploys a flow: all defaults are set when it opens. */
export function NewDeploymentDialog() {
  const { flowId } = route.useParams();
  const navigate = route.useNavigate();
  const flow = hooks.useQuery("get", "/node/flows/{flow_id}/", { params: { path: { flow_id: flowId } } });
  const presets = hooks.useQuery("get", "/node/deployments/presets/");
  const close = useBack(() => void navigate({ to: "/flows/$flowId/deploy", params: { flowId } }));
  if (flow.data && presets.data)
    return <NewDeployment flow={flow.data} presets={presets.data.items} onClose={close} />;
  const error = flow.error ?? presets.error;
  return (
    <Dialog title={deploymentTexts.deploy.title} onClose={close}>
      {error ? <ErrorNotice error={error} /> : <Skeleton rows={6} />}
    </Dialog>
  );
}

interface NewDeploymentProps {
  flow: Flow;
  presets: Preset[];
  onClose: () => void;
}

function NewDeployment({ flow, presets, onClose }: NewDeploymentProps) {
  const { preset: asked } = route.useSearch();
  const [form, setForm] = useState(() => {
    const suited = presets.filter(({ execution_mode }) => execution_mode !== "fast" || canBeFast(flow));
    const usual = canBeFast(flow) ? "prediction" : "inline";
    const first =
      suited.find(({ name }) => name === asked) ?? suited.find(({ name }) => name === usual) ?? suited[0];
    return initialForm(`${flow.name} Deployment`, first, { hasModel: modelsOf(flow).length > 0 });
  });
  const change = (part: Partial<DeploymentForm>) => setForm((now) => ({ ...now, ...part }));
  const body = bodyOf(form, flow.id);
  const plan = usePlan(form, flow.id);
  const isFast = plan.data?.fast.possible ?? canBeFast(flow);
  const queries = useQueryClient();
  const navigate = route.useNavigate();
  const open = (deploymentId: string) =>
    void navigate({
      to: "/deployments/$deploymentId/code",
      params: { deploymentId },
      replace: true,
      ignoreBlocker: true, // what is held until an answer comes has come
    });
  const create = useMutation({
    mutationFn: () => deploy(body),
    onSuccess: () => void queries.invalidateQueries(),
    gcTime: 0, // the key stays in memory no longer than its dialog
  });
  const isHeld = useHeld(create);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (create.isPending) return;
    create.mutate(undefined, {
      onSuccess: (made) => {
        if (!made.api_key && !made.webhook_secret) open(made.id);
      },
    });
  };
  const submitByKeys = (event: KeyboardEvent<HTMLFormElement>) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.currentTarget.requestSubmit();
  };
  const choose = (chosen: string) => {
    const suited = presets.find((each) => each.name === chosen);
    if (!suited) return;
    change({ preset: suited.name, mode: suited.execution_mode, type: suited.deployment_type });
  };
  if (create.data?.api_key || create.data?.webhook_secret) {
    const { id, api_key, webhook_secret } = create.data;
    const done = () => open(id);
    return api_key ? (
      <SaveKeyDialog deployment={{ id }} apiKey={api_key.key} webhookSecret={webhook_secret} onDone={done} />
    ) : (
      <SaveSecretDialog secret={webhook_secret ?? ""} onDone={done} />
    );
  }
  const errors = { ...fieldErrors(plan.error), ...fieldErrors(create.error) };
  const isTold = (error: unknown) => Object.keys(fieldErrors(error)).some((name) => isFieldShown(form, name));
  const close = () => {
    if (!isHeld) onClose();
  };
  return (
    <Dialog
      title={deploymentTexts.deploy.title}
      onClose={close}
      footer={
        <>
          <Button onClick={close} disabled={isHeld}>
            {t.common.cancel}
          </Button>
          <Button type="submit" form={FORM} look="primary" disabled={create.isPending}>
            {create.isPending ? deploymentTexts.deploy.working : deploymentTexts.deploy.submit}
          </Button>
        </>
      }
    >
      <form id={FORM} onSubmit={submit} onKeyDown={submitByKeys} className={styles.stack}>
        <Choice
          label={deploymentTexts.deploy.situation}
          columns
          value={form.preset}
          onChange={choose}
          options={presets.map((each) => ({
            value: each.name,
            label: deploymentTexts.deploy.situations[each.name]?.[0] ?? each.situation,
            hint: deploymentTexts.deploy.situations[each.name]?.[1],
            disabled: each.execution_mode === "fast" && !isFast,
          }))}
        />
        <PlanSummary plan={plan} isTold={isTold(plan.error)} />
        <NewDeploymentOptions form={form} change={change} plan={plan.data} isFast={isFast} errors={errors} />
        <AsCurl calls={[{ method: "POST", path: "/node/deployments/", body }]} />
        {create.error && !isTold(create.error) ? <ErrorNotice error={create.error} /> : null}
      </form>
    </Dialog>
  );
}

/** The dry run of what is entered, a moment after the last change. */
function usePlan(form: DeploymentForm, flowId: string) {
  // An address that is being typed, or a name that is empty for a moment, is no mistake yet.
  const isTyped = form.notification === "webhook" && !isCallbackUrl(form.callbackUrl);
  const settled = useDebounced(
    JSON.stringify(bodyOf({ ...form, ...(isTyped ? { notification: "none" } : {}) }, flowId)),
    TYPING_MILLISECONDS,
  );
  return useQuery({
    queryKey: ["dry-run", settled],
    queryFn: () => planDeployment(JSON.parse(settled)),
    placeholderData: keepPreviousData,
    enabled: form.name.trim() !== "" && Number(form.timeout) >= 1,
    retry: false,
  });
}
