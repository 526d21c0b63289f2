import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useEffect, useState } from "react";
import { logIn } from "../../api/client";
import { ProblemError } from "../../api/problem";
import { t } from "../../strings";
import { Button } from "../../ui/button";
import { Field, TextInput } from "../../ui/field";
import { ErrorNotice, Notice } from "../../ui/notice";
import styles from "./account.module.css";
import { PasswordInput } from "./password-input";

interface LoginFormProps {
  onDone: () => void;
  /** The address of a session that ended; another user would send the first one's requests. */
  email?: string | undefined;
}

export function LoginForm({ onDone, email: fixed }: LoginFormProps) {
  const [email, setEmail] = useState(fixed ?? "");
  const [password, setPassword] = useState("");
  const login = useMutation({ mutationFn: () => logIn(email.trim(), password), onSuccess: onDone });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    login.mutate();
  };
  return (
    <form className={styles.form} onSubmit={submit}>
      <Field label={t.login.email}>
        <TextInput
          type="email"
          name="email"
          autoComplete="username"
          required
          autoFocus={fixed === undefined}
          value={email}
          readOnly={fixed !== undefined}
          onValueChange={setEmail}
        />
      </Field>
      <PasswordInput
        label={t.login.password}
        autoComplete="current-password"
        value={password}
        onChange={setPassword}
      />
      {login.error ? <LoginError key={login.submittedAt} error={login.error} /> : null}
      <Button type="submit" look="primary" disabled={login.isPending}>
        {t.login.submit}
      </Button>
      <p className={styles.hint}>{t.login.forgotten}</p>
    </form>
  );
}

function LoginError({ error }: { error: Error }) {
  const after = error instanceof ProblemError ? error.retryAfter : null;
  const [left, setLeft] = useState(after ?? 0);
  useEffect(() => {
    const timer = setInterval(() => setLeft((now) => Math.max(0, now - 1)), 1000);
    return () => clearInterval(timer);
  }, []);
  if (!(error instanceof ProblemError)) return <ErrorNotice error={error} />;
  if (error.problem.code === "too_many_failures" && left > 0)
    return (
      <Notice kind="warn" announced>
        {t.login.wait(left)}
      </Notice>
    );
  if (error.problem.status === 401) return <Notice kind="bad">{t.login.wrong}</Notice>;
  return <ErrorNotice error={error} />;
}
