import type { ReactNode } from "react";
import { deploymentTexts } from "../../strings/deployments";
import { Checkbox, Choice } from "../../ui/choice";
import { choices } from "../../ui/choices";
import { Field, TextArea, TextInput } from "../../ui/field";
import { Section } from "../../ui/page";
import styles from "./deployment.module.css";
import type { SettingsForm } from "./settings-form";

interface FieldsProps {
  form: SettingsForm;
  change: (part: Partial<SettingsForm>) => void;
  errors: Record<string, string>;
}

const SHOWN_ERRORS: readonly (keyof SettingsForm)[] = [
  "name",
  "timeout_seconds",
  "queue_timeout_seconds",
  "cold_start_wait_seconds",
  "calls_per_minute",
  "calls_per_day",
  "concurrent_runs",
  "polls_per_minute",
  "cors_origins",
];

/** Whether a field that is shown says what is wrong with it. */
export function hasErrorField(form: SettingsForm, name: string): boolean {
  return (
    SHOWN_ERRORS.some((each) => each === name) || (name === "record_sample" && form.record_runs === "sample")
  );
}

/** The fields of all settings but those of the webhook, which has a page of its own. */
export function SettingsFields(props: FieldsProps) {
  return (
    <>
      <General {...props} />
      <Answers {...props} />
      <Time {...props} />
      <Runs {...props} />
      <Section title={deploymentTexts.settings.limits}>
        <div className={styles.grid}>
          <NumberField {...props} name="calls_per_minute" label={deploymentTexts.deploy.perMinute} optional />
          <NumberField {...props} name="calls_per_day" label={deploymentTexts.deploy.perDay} optional />
          <NumberField {...props} name="concurrent_runs" label={deploymentTexts.deploy.concurrent} optional />
          <NumberField {...props} name="polls_per_minute" label={deploymentTexts.settings.polls} optional />
        </div>
      </Section>
      <Section title={deploymentTexts.settings.browsers}>
        <Field
          label={deploymentTexts.settings.origins}
          hint={deploymentTexts.settings.originsHint}
          error={props.errors["cors_origins"]}
        >
          <TextArea
            rows={3}
            value={props.form.cors_origins}
            onChange={(event) => props.change({ cors_origins: event.target.value })}
          />
        </Field>
      </Section>
    </>
  );
}

function General({ form, change, errors }: FieldsProps) {
  return (
    <Section title={deploymentTexts.settings.general}>
      <Field label={deploymentTexts.deploy.name} error={errors["name"]}>
        <TextInput value={form.name} onValueChange={(name) => change({ name })} required maxLength={200} />
      </Field>
      <Choice
        label={deploymentTexts.deploy.mode}
        value={form.execution_mode}
        onChange={(execution_mode) => change({ execution_mode })}
        options={choices(["sync", "async", "fast"] as const, deploymentTexts.deploy.modes)}
      />
      <Choice
        label={deploymentTexts.deploy.type}
        value={form.deployment_type}
        onChange={(deployment_type) => change({ deployment_type })}
        options={choices(["api", "server"] as const, deploymentTexts.deploy.types)}
      />
    </Section>
  );
}

function Answers({ form, change }: FieldsProps) {
  return (
    <Section title={deploymentTexts.settings.answers}>
      <Choice
        label={deploymentTexts.settings.format}
        value={form.response_format}
        onChange={(response_format) => change({ response_format })}
        options={choices(["auto", "flat", "envelope"] as const, deploymentTexts.deploy.callers)}
      />
      <Choice
        label={deploymentTexts.settings.nonFinite}
        value={form.non_finite}
        onChange={(non_finite) => change({ non_finite })}
        options={choices(["string", "null", "error"] as const, deploymentTexts.settings.nonFinites)}
      />
      <Checkbox
        label={deploymentTexts.settings.nodeOutputs}
        checked={form.include_node_outputs}
        onChange={(include_node_outputs) => change({ include_node_outputs })}
      />
    </Section>
  );
}

function Time(props: FieldsProps) {
  const { form, change } = props;
  return (
    <Section title={deploymentTexts.settings.time}>
      <div className={styles.grid}>
        <NumberField {...props} name="timeout_seconds" label={deploymentTexts.deploy.timeout} />
        <NumberField
          {...props}
          name="queue_timeout_seconds"
          label={deploymentTexts.settings.queueTimeout}
          optional
        />
        <NumberField {...props} name="cold_start_wait_seconds" label={deploymentTexts.settings.coldStart} />
      </div>
      <Choice
        label={deploymentTexts.settings.onTimeout}
        value={form.on_timeout}
        onChange={(on_timeout) => change({ on_timeout })}
        options={choices(["stop", "detach"] as const, deploymentTexts.settings.onTimeouts)}
      />
    </Section>
  );
}

function Runs(props: FieldsProps) {
  const { form, change } = props;
  return (
    <Section title={deploymentTexts.settings.runs}>
      <Checkbox
        label={deploymentTexts.settings.cancel}
        checked={form.cancel_on_disconnect}
        onChange={(cancel_on_disconnect) => change({ cancel_on_disconnect })}
      />
      <Checkbox
        label={deploymentTexts.settings.retrySafe}
        checked={form.retry_safe}
        onChange={(retry_safe) => change({ retry_safe })}
      />
      <Checkbox
        label={deploymentTexts.settings.requireKey}
        checked={form.require_idempotency_key}
        onChange={(require_idempotency_key) => change({ require_idempotency_key })}
      />
      <Choice
        label={deploymentTexts.settings.record}
        value={form.record_runs}
        onChange={(record_runs) => change({ record_runs })}
        options={choices(["sample", "all", "errors"] as const, deploymentTexts.settings.records)}
      />
      {form.record_runs === "sample" ? (
        <NumberField {...props} name="record_sample" label={deploymentTexts.settings.share} step="any" />
      ) : null}
    </Section>
  );
}

interface NumberFieldProps extends FieldsProps {
  name: keyof SettingsForm;
  label: ReactNode & string;
  optional?: boolean;
  step?: string;
}

function NumberField({ form, change, errors, name, label, optional = false, step = "1" }: NumberFieldProps) {
  return (
    <Field label={label} error={errors[name]} hint={optional ? deploymentTexts.deploy.unlimited : undefined}>
      <TextInput
        type="number"
        min={0}
        step={step}
        required={!optional}
        value={String(form[name])}
        onValueChange={(value) => change({ [name]: value })}
      />
    </Field>
  );
}
