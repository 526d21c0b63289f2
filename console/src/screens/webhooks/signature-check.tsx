import { type FormEvent, useRef, useState } from "react";
import { bodyOf, useChange } from "../../api/change";
import { api } from "../../api/client";
import type { components } from "../../api/schema";
import { webhookTexts } from "../../strings/webhooks";
import { Button } from "../../ui/button";
import { Field, TextArea, TextInput } from "../../ui/field";
import { ErrorNotice, Notice } from "../../ui/notice";
import { parseHeaders } from "./header-lines";
import styles from "./webhooks.module.css";

type Verdict = components["schemas"]["VerdictOut"];
type Place = Verdict["findings"][number]["place"];

/** Says whether a request is signed with a secret, and marks what is wrong. Only the field has the secret. */
export function SignatureCheck() {
  const [headers, setHeaders] = useState("");
  const [body, setBody] = useState("");
  const form = useRef<HTMLFormElement>(null);
  const check = useChange(
    async () => {
      const given = new FormData(form.current ?? undefined);
      const [secret, previous] = ["secret", "previous"].map((name) => String(given.get(name) ?? "").trim());
      const asked = { headers: parseHeaders(headers), body, secret: secret ?? "" };
      return bodyOf(
        await api.POST("/node/webhooks/verify/", {
          body: previous ? { ...asked, previous_secret: previous } : asked,
        }),
      );
    },
    { reloads: [] },
  );
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!check.isPending) check.mutate(undefined);
  };
  const wrong = (matches: (place: Place) => boolean) =>
    check.data?.findings
      .filter(({ place }) => matches(place))
      .map(({ message }) => message)
      .join(" ") || undefined;
  return (
    <form ref={form} className={styles.form} onSubmit={submit} onChange={() => check.reset()}>
      <p className={styles.hint}>{webhookTexts.checkText}</p>
      <Field label={webhookTexts.checkHeaders} error={wrong((place) => place.startsWith("webhook-"))}>
        <TextArea value={headers} onChange={(event) => setHeaders(event.target.value)} rows={5} required />
      </Field>
      <Field label={webhookTexts.checkBody} error={wrong((place) => place === "body")}>
        <TextArea value={body} onChange={(event) => setBody(event.target.value)} rows={8} />
      </Field>
      <Field label={webhookTexts.checkSecret} error={wrong((place) => place === "secret")}>
        <TextInput type="password" name="secret" autoComplete="off" required spellCheck={false} />
      </Field>
      <Field label={webhookTexts.checkPrevious}>
        <TextInput type="password" name="previous" autoComplete="off" />
      </Field>
      {check.data ? <VerdictNotice verdict={check.data} /> : null}
      {check.error ? <ErrorNotice error={check.error} /> : null}
      <div>
        <Button type="submit" look="primary" disabled={check.isPending}>
          {webhookTexts.checkSubmit}
        </Button>
      </div>
    </form>
  );
}

function VerdictNotice({ verdict }: { verdict: Verdict }) {
  if (verdict.good)
    return (
      <Notice kind="info" title={webhookTexts.good} announced>
        <p>{webhookTexts.goodText}</p>
      </Notice>
    );
  return (
    <Notice kind="bad" title={webhookTexts.bad}>
      <ul>
        {verdict.findings.map(({ code, place, message }) => (
          <li key={code + place}>
            <strong>{webhookTexts.places[place] ?? place}</strong>
            {": "}
            {message}
          </li>
        ))}
      </ul>
    </Notice>
  );
}
