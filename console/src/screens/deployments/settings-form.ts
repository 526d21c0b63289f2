import type { components } from "../../api/schema";

type Deployment = components["schemas"]["DeploymentOut"];
type Change = components["schemas"]["DeploymentPatch"];

const LIMITS = ["calls_per_minute", "calls_per_day", "concurrent_runs", "polls_per_minute"] as const;

/** The settings of a deployment as they are edited: numbers and lists are texts. */
export interface SettingsForm {
  name: string;
  execution_mode: Deployment["execution_mode"];
  deployment_type: Deployment["deployment_type"];
  response_format: Deployment["response_format"];
  non_finite: Deployment["non_finite"];
  include_node_outputs: boolean;
  timeout_seconds: string;
  on_timeout: Deployment["on_timeout"];
  queue_timeout_seconds: string;
  cold_start_wait_seconds: string;
  cancel_on_disconnect: boolean;
  retry_safe: boolean;
  require_idempotency_key: boolean;
  record_runs: Deployment["record_runs"];
  record_sample: string;
  calls_per_minute: string;
  calls_per_day: string;
  concurrent_runs: string;
  polls_per_minute: string;
  cors_origins: string;
}

export function settingsForm(deployment: Deployment): SettingsForm {
  const { limits } = deployment;
  return {
    name: deployment.name,
    execution_mode: deployment.execution_mode,
    deployment_type: deployment.deployment_type,
    response_format: deployment.response_format,
    non_finite: deployment.non_finite,
    include_node_outputs: deployment.include_node_outputs,
    timeout_seconds: String(deployment.timeout_seconds),
    on_timeout: deployment.on_timeout,
    queue_timeout_seconds: text(deployment.queue_timeout_seconds),
    cold_start_wait_seconds: String(deployment.cold_start_wait_seconds),
    cancel_on_disconnect: deployment.cancel_on_disconnect,
    retry_safe: deployment.retry_safe,
    require_idempotency_key: deployment.require_idempotency_key,
    record_runs: deployment.record_runs,
    record_sample: String(deployment.record_sample),
    calls_per_minute: text(limits.calls_per_minute),
    calls_per_day: text(limits.calls_per_day),
    concurrent_runs: text(limits.concurrent_runs),
    polls_per_minute: text(limits.polls_per_minute),
    cors_origins: (deployment.cors_origins ?? []).join("\n"),
  };
}

/** Return the settings that differ from those that the form was filled with, as a request changes them. */
export function changeOf(form: SettingsForm, base: SettingsForm): Change {
  const before = valuesOf(base);
  const after = valuesOf(form);
  const changed = (Object.keys(after) as (keyof Change)[]).filter(
    (name) => JSON.stringify(after[name]) !== JSON.stringify(before[name]),
  );
  return Object.fromEntries(changed.map((name) => [name, after[name]]));
}

function valuesOf(form: SettingsForm): Change {
  const { calls_per_minute, calls_per_day, concurrent_runs, polls_per_minute, ...rest } = form;
  const texts = { calls_per_minute, calls_per_day, concurrent_runs, polls_per_minute };
  const origins = form.cors_origins.split(/\s+/).filter(Boolean);
  return {
    ...rest,
    name: form.name.trim(),
    timeout_seconds: Number(form.timeout_seconds),
    queue_timeout_seconds: number(form.queue_timeout_seconds),
    cold_start_wait_seconds: Number(form.cold_start_wait_seconds),
    record_sample: Number(form.record_sample),
    limits: Object.fromEntries(LIMITS.map((name) => [name, number(texts[name])])),
    cors_origins: origins.length ? origins : null,
  };
}

function text(value: number | null | undefined): string {
  return value === null || value === undefined ? "" : String(value);
}

function number(value: string): number | null {
  return value.trim() === "" ? null : Number(value);
}
