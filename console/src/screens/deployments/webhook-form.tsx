import type { UseMutationResult } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { fieldErrors } from "../../api/problem";
import type { components } from "../../api/schema";
import { t } from "../../strings";
import { deploymentTexts } from "../../strings/deployments";
import { AsCurl } from "../../ui/as-curl";
import { useBasedForm } from "../../ui/based-form";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { Field, TextInput } from "../../ui/field";
import { ErrorNotice } from "../../ui/notice";
import styles from "./deployment.module.css";
import { EventChoice } from "./event-choice";

type Deployment = components["schemas"]["DeploymentOut"];
type Change = components["schemas"]["DeploymentPatch"];

interface WebhookFormProps {
  deployment: Deployment;
  save: UseMutationResult<string | null, Error, Change>;
}

/** The URL and the events of a webhook; without a URL there is none. */
export function WebhookForm({ deployment, save }: WebhookFormProps) {
  const { base, form, change } = useBasedForm({ form: formOf(deployment) });
  const { url, events } = form;
  const [removes, setRemoves] = useState(false);
  const isSet = deployment.notification_method === "webhook";
  const hasUrl = url.trim() !== base.form.url;
  const hasEvents = events.join() !== base.form.events.join();
  const body = {
    notification_method: "webhook" as const,
    ...(hasUrl ? { callback_url: url.trim() } : {}),
    ...(hasEvents ? { webhook_events: events } : {}),
  };
  const path = `/node/deployments/${deployment.id}/`;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    change({ url: url.trim() });
    save.mutate(body);
  };
  const errors = fieldErrors(save.error);
  const remove = () => {
    setRemoves(false);
    save.mutate(REMOVAL);
  };
  return (
    <form onSubmit={submit} className={styles.stack}>
      <Field
        label={deploymentTexts.deploy.callbackUrl}
        hint={deploymentTexts.deploy.callbackUrlHint}
        error={errors["callback_url"]}
      >
        <TextInput
          type="url"
          value={url}
          onValueChange={(typed) => change({ url: typed })}
          required
          maxLength={2000}
        />
      </Field>
      <EventChoice events={events} onChange={(chosen) => change({ events: chosen })} />
      {save.error && !errors["callback_url"] ? <ErrorNotice error={save.error} /> : null}
      <div className={styles.bar}>
        <Button type="submit" look="primary" disabled={!(hasUrl || hasEvents) || save.isPending}>
          {isSet ? deploymentTexts.webhook.change : deploymentTexts.webhook.set}
        </Button>
        {isSet ? (
          <Button look="danger" disabled={save.isPending} onClick={() => setRemoves(true)}>
            {deploymentTexts.webhook.remove}
          </Button>
        ) : null}
      </div>
      <AsCurl calls={[{ method: "PATCH", path, body }]} />
      {removes ? (
        <Dialog
          title={deploymentTexts.webhook.remove}
          narrow
          onClose={() => setRemoves(false)}
          footer={
            <>
              <Button onClick={() => setRemoves(false)}>{t.common.cancel}</Button>
              <Button look="danger" onClick={remove}>
                {deploymentTexts.webhook.remove}
              </Button>
            </>
          }
        >
          <p>{deploymentTexts.webhook.removeText}</p>
          <AsCurl calls={[{ method: "PATCH", path, body: REMOVAL }]} />
        </Dialog>
      ) : null}
    </form>
  );
}

const REMOVAL = { notification_method: "none", callback_url: null } as const;

function formOf({ callback_url: url, webhook_events: events }: Deployment) {
  return { url: url ?? "", events };
}
