import { useMutation } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { fieldErrors, ProblemError } from "../../api/problem";
import { setUp } from "../../api/setup";
import { t } from "../../strings";
import { setupTexts } from "../../strings/setup";
import { Button } from "../../ui/button";
import { Field, TextInput } from "../../ui/field";
import { ErrorNotice, Notice } from "../../ui/notice";
import styles from "./account.module.css";
import { AccountPage } from "./account-page";
import { NewPasswordInput } from "./new-password-input";

/** The account is made, or the gateway was started again. */
const USED = new Set(["setup_token_invalid", "setup_completed"]);

export function SetupScreen() {
  const token = new URLSearchParams(window.location.hash.slice(1)).get("token");
  return (
    <AccountPage title={setupTexts.title} aside={<NextSteps />}>
      {token ? (
        <SetupForm token={token} />
      ) : (
        <Notice kind="warn" title={setupTexts.noToken}>
          <p>{setupTexts.noTokenText}</p>
        </Notice>
      )}
    </AccountPage>
  );
}

function NextSteps() {
  return (
    <>
      <h2>{setupTexts.thenTitle}</h2>
      <ol className={styles.steps}>
        {setupTexts.steps.map(([what, how]) => (
          <li key={what}>
            <strong>{what}</strong>
            <span>{how}</span>
          </li>
        ))}
      </ol>
    </>
  );
}

function SetupForm({ token }: { token: string }) {
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const navigate = useNavigate();
  const setup = useMutation({
    mutationFn: () => setUp(token, email.trim(), password),
    onSuccess: () => void navigate({ to: "/welcome", replace: true }),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setup.mutate();
  };
  const errors = fieldErrors(setup.error);
  return (
    <form className={styles.form} onSubmit={submit}>
      <Field label={t.login.email} error={errors["email"]}>
        <TextInput
          type="email"
          name="email"
          autoComplete="username"
          required
          autoFocus
          value={email}
          onValueChange={setEmail}
        />
      </Field>
      <NewPasswordInput
        label={t.login.password}
        hint={setupTexts.passwordHint}
        error={errors["password"]}
        email={email.trim()}
        value={password}
        onChange={setPassword}
      />
      {setup.error && !errors["email"] && !errors["password"] ? <SetupError error={setup.error} /> : null}
      <Button type="submit" look="primary" disabled={setup.isPending}>
        {setupTexts.submit}
      </Button>
      <p className={styles.hint}>{setupTexts.once}</p>
    </form>
  );
}

function SetupError({ error }: { error: Error }) {
  if (error instanceof ProblemError && USED.has(error.problem.code))
    return (
      <Notice kind="bad" title={setupTexts.used}>
        <p>{setupTexts.usedText}</p>
      </Notice>
    );
  return <ErrorNotice error={error} />;
}
