import type { components } from "../../api/schema";

type DeploymentIn = components["schemas"]["DeploymentIn"];
type Preset = components["schemas"]["PresetOut"];
export type WebhookEvent = NonNullable<DeploymentIn["webhook_events"]>[number];

export const EVENTS: readonly WebhookEvent[] = [
  "run.started",
  "run.completed",
  "run.failed",
  "run.cancelled",
];
const DEFAULT_SECONDS = 3600;

/** What is entered in the dialog that makes a deployment; numbers as they are typed. */
export interface DeploymentForm {
  preset: Preset["name"] | null;
  mode: NonNullable<DeploymentIn["execution_mode"]>;
  type: NonNullable<DeploymentIn["deployment_type"]>;
  name: string;
  key: "new" | "none";
  format: NonNullable<DeploymentIn["response_format"]>;
  startsServer: boolean;
  notification: NonNullable<DeploymentIn["notification_method"]>;
  callbackUrl: string;
  events: readonly WebhookEvent[];
  timeout: string;
  perMinute: string;
  perDay: string;
  concurrent: string;
}

/** The form as it opens: it can be confirmed as it is. */
export function initialForm(
  name: string,
  preset: Preset | undefined,
  { hasModel }: { hasModel: boolean },
): DeploymentForm {
  return {
    preset: preset?.name ?? null,
    mode: preset?.execution_mode ?? "sync",
    type: preset?.deployment_type ?? "api",
    name,
    key: "new",
    format: "auto",
    startsServer: hasModel,
    notification: "none",
    callbackUrl: "",
    events: ["run.completed", "run.failed"],
    timeout: String(DEFAULT_SECONDS),
    perMinute: "",
    perDay: "",
    concurrent: "",
  };
}

/** Return the request that makes the deployment; what is as by default is left out. */
export function bodyOf(form: DeploymentForm, flowId: string): DeploymentIn {
  const limits = {
    ...number("calls_per_minute", form.perMinute),
    ...number("calls_per_day", form.perDay),
    ...number("concurrent_runs", form.concurrent),
  };
  return {
    flow_id: flowId,
    name: form.name.trim(),
    execution_mode: form.mode,
    deployment_type: form.type,
    ...(form.format === "auto" ? {} : { response_format: form.format }),
    ...(Number(form.timeout) === DEFAULT_SECONDS ? {} : number("timeout_seconds", form.timeout)),
    ...(form.notification === "webhook"
      ? {
          notification_method: form.notification,
          callback_url: form.callbackUrl.trim(),
          webhook_events: [...form.events],
        }
      : {}),
    ...(Object.keys(limits).length ? { limits } : {}),
    ...(form.startsServer ? { start_server: true } : {}),
    api_key: form.key,
  };
}

/** Whether a text is an address that a webhook can have. */
export function isCallbackUrl(text: string): boolean {
  return URL.canParse(text.trim()) && /^https?:/.test(text.trim());
}

function number<Name extends string>(name: Name, text: string): Partial<Record<Name, number>> {
  return text.trim() === "" ? {} : ({ [name]: Number(text) } as Record<Name, number>);
}
