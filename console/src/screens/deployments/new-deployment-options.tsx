import { type ReactNode, useEffect, useRef } from "react";
import { deploymentTexts } from "../../strings/deployments";
import { Checkbox, Choice } from "../../ui/choice";
import { choices } from "../../ui/choices";
import { CodeBlock } from "../../ui/copy";
import { Field, TextInput } from "../../ui/field";
import type { DeploymentPlan } from "./deploy";
import styles from "./deployment.module.css";
import { EventChoice } from "./event-choice";
import { expectedAnswer } from "./expected-answer";
import { type DeploymentForm, isCallbackUrl } from "./new-deployment-form";
import { readinessText } from "./readiness-status";

interface OptionsProps {
  form: DeploymentForm;
  change: (part: Partial<DeploymentForm>) => void;
  plan: DeploymentPlan | undefined;
  isFast: boolean;
  errors: Record<string, string>;
}

/** The settings of a new deployment, in parts that open; each part says what is chosen in it. */
export function NewDeploymentOptions(props: OptionsProps) {
  const { form } = props;
  const hasQuota = Boolean(form.perMinute || form.perDay || form.concurrent);
  const mode = deploymentTexts.deploy.modes[form.mode];
  const type = deploymentTexts.deploy.types[form.type];
  return (
    <>
      <Part
        title={deploymentTexts.deploy.configuration}
        chosen={deploymentTexts.deploy.keyChosen[form.key] ?? ""}
        isWrong={props.errors["name"] !== undefined}
        isOpen
      >
        <Configuration {...props} />
      </Part>
      <Part title={deploymentTexts.deploy.mode} chosen={mode?.join(": ") ?? form.mode}>
        <ModeAndServer {...props} />
      </Part>
      <Part title={deploymentTexts.deploy.type} chosen={type?.join(": ") ?? form.type}>
        <Choice
          label={deploymentTexts.deploy.type}
          value={form.type}
          onChange={(value) => props.change({ type: value, preset: null })}
          options={choices(["api", "server"] as const, deploymentTexts.deploy.types)}
        />
      </Part>
      <Part
        title={deploymentTexts.deploy.notification}
        isWrong={form.notification === "webhook" && props.errors["callback_url"] !== undefined}
        chosen={
          form.notification === "webhook"
            ? deploymentTexts.deploy.notificationWebhook
            : deploymentTexts.deploy.notificationNone
        }
      >
        <Notification {...props} />
      </Part>
      <Part
        title={deploymentTexts.deploy.limits}
        chosen={deploymentTexts.deploy.limitsOf(Number(form.timeout), hasQuota)}
        isWrong={LIMIT_ERRORS.some((name) => props.errors[name] !== undefined)}
      >
        <Limits {...props} />
      </Part>
    </>
  );
}

/** Whether one of the fields says what was refused. */
export function isFieldShown({ notification }: DeploymentForm, name: string): boolean {
  return (
    name === "name" || LIMIT_ERRORS.includes(name) || (name === "callback_url" && notification === "webhook")
  );
}

interface PartProps {
  title: string;
  chosen: string;
  /** A field in it was refused: it opens. */
  isWrong?: boolean;
  /** Until it is closed. */
  isOpen?: boolean;
  children: ReactNode;
}

function Part({ title, chosen, isWrong = false, isOpen = false, children }: PartProps) {
  const details = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    if (isWrong && details.current) details.current.open = true;
  }, [isWrong]);
  return (
    <details ref={details} className={styles.more} open={isOpen}>
      <summary>
        {title} <span className={styles.chosen}>{chosen}</span>
      </summary>
      <div>{children}</div>
    </details>
  );
}

function Configuration({ form, change, plan, errors }: OptionsProps) {
  const covering = plan?.covering_keys ?? [];
  const names = covering.map(({ name }) => name).join(", ");
  return (
    <>
      <Field label={deploymentTexts.deploy.name} error={errors["name"]}>
        <TextInput value={form.name} onValueChange={(name) => change({ name })} required maxLength={200} />
      </Field>
      <Choice
        label={deploymentTexts.deploy.key}
        value={form.key}
        onChange={(key) => change({ key })}
        options={[
          {
            value: "new",
            label: deploymentTexts.deploy.keyNew[0] ?? "",
            hint: deploymentTexts.deploy.keyNew[1],
          },
          {
            value: "none",
            label: names ? deploymentTexts.deploy.keyCovering(names) : deploymentTexts.deploy.keyNone,
            hint: names ? deploymentTexts.deploy.keyCoveringHint : deploymentTexts.deploy.keyNoneHint,
          },
        ]}
      />
      <Choice
        label={deploymentTexts.deploy.caller}
        value={form.format}
        onChange={(format) => change({ format })}
        options={choices(["auto", "flat", "envelope"] as const, deploymentTexts.deploy.callers)}
      />
    </>
  );
}

function ModeAndServer({ form, change, plan, isFast }: OptionsProps) {
  const duration = plan?.checks.find(({ code }) => code === "duration");
  return (
    <>
      <Choice
        label={deploymentTexts.deploy.mode}
        value={form.mode}
        onChange={(mode) => change({ mode, preset: null })}
        options={choices(["sync", "async", "fast"] as const, deploymentTexts.deploy.modes).map((option) => ({
          ...option,
          disabled: option.value === "fast" && !isFast,
        }))}
      />
      {duration ? <p className={styles.hint}>{duration.message}</p> : null}
      <CodeBlock label={deploymentTexts.deploy.expected} code={expectedAnswer(form)} />
      {plan?.models.length ? (
        <>
          {plan.readiness ? (
            <p className={styles.hint}>
              {deploymentTexts.deploy.serverState(
                plan.models.map(({ model }) => model).join(", "),
                readinessText(plan.readiness),
              )}
            </p>
          ) : null}
          <Checkbox
            label={deploymentTexts.deploy.server}
            checked={form.startsServer}
            onChange={(startsServer) => change({ startsServer })}
          />
        </>
      ) : null}
    </>
  );
}

function Notification({ form, change, plan, errors }: OptionsProps) {
  const check = plan?.checks.find(({ code, result }) => code === "webhook" && result === "error");
  const isWrong = form.callbackUrl !== "" && !isCallbackUrl(form.callbackUrl);
  return (
    <>
      <Choice
        label={deploymentTexts.deploy.notification}
        value={form.notification}
        onChange={(notification) => change({ notification })}
        options={choices(["none", "webhook"] as const, deploymentTexts.deploy.notifications)}
      />
      {form.notification === "webhook" ? (
        <>
          <Field
            label={deploymentTexts.deploy.callbackUrl}
            hint={deploymentTexts.deploy.callbackUrlHint}
            error={
              isWrong ? deploymentTexts.deploy.callbackUrlWrong : (errors["callback_url"] ?? check?.message)
            }
          >
            <TextInput
              type="url"
              value={form.callbackUrl}
              onValueChange={(callbackUrl) => change({ callbackUrl })}
              required
              maxLength={2000}
            />
          </Field>
          <EventChoice events={form.events} onChange={(events) => change({ events })} />
        </>
      ) : null}
    </>
  );
}

const LIMITS = [
  ["perMinute", deploymentTexts.deploy.perMinute, "calls_per_minute"],
  ["perDay", deploymentTexts.deploy.perDay, "calls_per_day"],
  ["concurrent", deploymentTexts.deploy.concurrent, "concurrent_runs"],
] as const;
const LIMIT_ERRORS: readonly string[] = ["timeout_seconds", ...LIMITS.map(([, , member]) => member)];

function Limits({ form, change, errors }: OptionsProps) {
  return (
    <div className={styles.grid}>
      <Field label={deploymentTexts.deploy.timeout} error={errors["timeout_seconds"]}>
        <TextInput
          type="number"
          min={1}
          max={86_400}
          required
          value={form.timeout}
          onValueChange={(timeout) => change({ timeout })}
        />
      </Field>
      {LIMITS.map(([name, label, member]) => (
        <Field key={name} label={label} hint={deploymentTexts.deploy.unlimited} error={errors[member]}>
          <TextInput
            type="number"
            min={1}
            value={form[name]}
            onValueChange={(value) => change({ [name]: value })}
          />
        </Field>
      ))}
    </div>
  );
}
