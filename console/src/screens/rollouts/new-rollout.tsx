import { getRouteApi } from "@tanstack/react-router";
import { type FormEvent, useId, useState } from "react";
import { bodyOf, useChange } from "../../api/change";
import { api, hooks } from "../../api/client";
import type { components } from "../../api/schema";
import { t } from "../../strings";
import { rolloutTexts } from "../../strings/rollouts";
import { AsCurl } from "../../ui/as-curl";
import { Button } from "../../ui/button";
import { Choice } from "../../ui/choice";
import { choices } from "../../ui/choices";
import { Dialog } from "../../ui/dialog";
import { Field, TextInput } from "../../ui/field";
import { Skeleton } from "../../ui/loading";
import { ErrorNotice } from "../../ui/notice";
import { Select } from "../../ui/select";
import { toast } from "../../ui/toast";
import { useBack } from "../../ui/use-back";
import {
  mostWeight,
  NEW_ROLLOUT,
  type RolloutForm,
  rolloutBody,
  withStrategy,
  wrongFields,
} from "./rollout-form";
import styles from "./rollouts.module.css";

type Deployment = components["schemas"]["DeploymentOut"];

const route = getRouteApi("/app/deployments/$deploymentId/rollout");
const CHECKS = ["errors", "latency", "tolerance", "different"] as const;
/** Older versions are tried by the command line. */
const LISTED = 50;

/** Chooses a version that is tried beside the live one. */
export function NewRolloutDialog() {
  const { deploymentId } = route.useParams();
  const navigate = route.useNavigate();
  const deployment = hooks.useQuery("get", "/node/deployments/{deployment_id}/", {
    params: { path: { deployment_id: deploymentId } },
  });
  const toVersions = () =>
    void navigate({ to: "/deployments/$deploymentId/versions", params: { deploymentId } });
  const close = useBack(toVersions);
  if (deployment.data) return <NewRollout deployment={deployment.data} onClose={close} onDone={toVersions} />;
  return (
    <Dialog title={rolloutTexts.begin} onClose={close}>
      {deployment.error ? <ErrorNotice error={deployment.error} /> : <Skeleton rows={6} />}
    </Dialog>
  );
}

interface NewRolloutProps {
  deployment: Deployment;
  onClose: () => void;
  onDone: () => void;
}

function NewRollout({ deployment, onClose, onDone }: NewRolloutProps) {
  const id = useId();
  const [form, setForm] = useState<RolloutForm>(NEW_ROLLOUT);
  const change = (part: Partial<RolloutForm>) => setForm((before) => ({ ...before, ...part }));
  const wrong = wrongFields(form);
  const body = rolloutBody(form);
  const begin = useChange(
    async () =>
      bodyOf(
        await api.POST("/node/deployments/{deployment_id}/rollout/", {
          params: { path: { deployment_id: deployment.id } },
          body,
        }),
      ),
    {
      reloads: ["/node/deployments/"],
      onDone: ({ candidate }) => toast(rolloutTexts.began(candidate)),
    },
  );
  const isReady = wrong.size === 0 && !begin.isPending;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isReady) begin.mutate(undefined, { onSuccess: onDone });
  };
  return (
    <Dialog
      title={rolloutTexts.title(deployment.name)}
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>{t.common.cancel}</Button>
          <Button look="primary" type="submit" form={id} disabled={!isReady}>
            {begin.isPending ? rolloutTexts.working : rolloutTexts.submit}
          </Button>
        </>
      }
    >
      <form id={id} onSubmit={submit} className={styles.form}>
        <p className={styles.hint}>{rolloutTexts.lead}</p>
        <RolloutFields deployment={deployment} form={form} change={change} wrong={wrong} />
        {begin.error ? <ErrorNotice error={begin.error} /> : null}
        {wrong.size === 0 ? (
          <AsCurl calls={[{ method: "POST", path: `/node/deployments/${deployment.id}/rollout/`, body }]} />
        ) : null}
      </form>
    </Dialog>
  );
}

interface FieldsProps {
  deployment: Deployment;
  form: RolloutForm;
  change: (part: Partial<RolloutForm>) => void;
  wrong: ReadonlySet<keyof RolloutForm>;
}

function RolloutFields({ deployment, form, change, wrong }: FieldsProps) {
  const isFast = deployment.execution_mode === "fast";
  const strategies = choices(["canary", "shadow"] as const, rolloutTexts.strategies);
  const errorOf = (field: keyof RolloutForm, message: string) => (wrong.has(field) ? message : undefined);
  return (
    <>
      <Choice
        label={rolloutTexts.strategy}
        value={form.strategy}
        onChange={(strategy) => change(withStrategy(form, strategy))}
        options={strategies.map((option) =>
          option.value === "shadow" && !isFast
            ? { ...option, hint: rolloutTexts.shadowNeedsFast, disabled: true }
            : option,
        )}
      />
      <div className={styles.fields}>
        <VersionField
          deployment={deployment}
          value={form.version}
          onChange={(version) => change({ version })}
        />
        <Field
          label={rolloutTexts.weight}
          error={errorOf("weight", rolloutTexts.weightWrong(mostWeight(form.strategy)))}
        >
          <TextInput inputMode="numeric" value={form.weight} onValueChange={(weight) => change({ weight })} />
        </Field>
      </div>
      <details className={styles.checks} open={CHECKS.some((field) => wrong.has(field)) || undefined}>
        <summary>
          {rolloutTexts.checks}{" "}
          <span className={styles.hint}>{rolloutTexts.checksOf(form.errors, form.latency.trim())}</span>
        </summary>
        <div className={styles.fields}>
          <Field label={rolloutTexts.errors} error={errorOf("errors", rolloutTexts.wrongPercent)}>
            <TextInput
              inputMode="decimal"
              value={form.errors}
              onValueChange={(errors) => change({ errors })}
            />
          </Field>
          <Field
            label={rolloutTexts.latency}
            hint={rolloutTexts.latencyHint}
            error={errorOf("latency", rolloutTexts.wrongRatio)}
          >
            <TextInput
              inputMode="decimal"
              value={form.latency}
              onValueChange={(latency) => change({ latency })}
            />
          </Field>
          {isFast ? (
            <>
              <Field
                label={rolloutTexts.tolerance}
                hint={rolloutTexts.toleranceHint}
                error={errorOf("tolerance", rolloutTexts.wrongTolerance)}
              >
                <TextInput
                  inputMode="decimal"
                  value={form.tolerance}
                  onValueChange={(tolerance) => change({ tolerance })}
                />
              </Field>
              <Field label={rolloutTexts.different} error={errorOf("different", rolloutTexts.wrongPercent)}>
                <TextInput
                  inputMode="decimal"
                  value={form.different}
                  onValueChange={(different) => change({ different })}
                />
              </Field>
            </>
          ) : null}
        </div>
      </details>
      <Field
        label={rolloutTexts.promoteAfter}
        hint={rolloutTexts.promoteAfterHint}
        error={errorOf("promoteAfter", rolloutTexts.wrongMinutes)}
      >
        <TextInput
          inputMode="numeric"
          value={form.promoteAfter}
          onValueChange={(promoteAfter) => change({ promoteAfter })}
        />
      </Field>
    </>
  );
}

interface VersionFieldProps {
  deployment: Deployment;
  value: string;
  onChange: (version: string) => void;
}

/** The draft, or a version that is there already. */
function VersionField({ deployment, value, onChange }: VersionFieldProps) {
  const { data } = hooks.useQuery("get", "/node/deployments/{deployment_id}/versions/", {
    params: { path: { deployment_id: deployment.id }, query: { limit: LISTED } },
  });
  const others = (data?.items ?? []).filter(({ live }) => !live);
  return (
    <Field label={rolloutTexts.candidate}>
      <Select
        value={value}
        onChange={onChange}
        options={[
          { value: "", label: rolloutTexts.draft(deployment.newest_version + 1) },
          ...others.map(({ version, name }) => ({
            value: String(version),
            label: name ? rolloutTexts.named(version, name) : rolloutTexts.number(version),
          })),
        ]}
      />
    </Field>
  );
}
