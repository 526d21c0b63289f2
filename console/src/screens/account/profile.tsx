import { type FormEvent, useState } from "react";
import { useChange } from "../../api/change";
import { api } from "../../api/client";
import { fieldErrors, ProblemError } from "../../api/problem";
import { useSession } from "../../api/session";
import { Time } from "../../formats/time";
import { settingsTexts } from "../../strings/settings";
import { Button } from "../../ui/button";
import { Facts } from "../../ui/facts";
import { ErrorNotice } from "../../ui/notice";
import { Page, Section } from "../../ui/page";
import { toast } from "../../ui/toast";
import styles from "./account.module.css";
import { NewPasswordInput } from "./new-password-input";
import { PasswordInput } from "./password-input";
import { SESSIONS } from "./session-list";

const texts = settingsTexts.profile;

export function ProfileScreen() {
  const user = useSession(({ session }) => session?.user);
  return (
    <Page title={texts.title}>
      {user ? (
        <Facts
          facts={[
            [texts.email, user.email],
            [texts.role, settingsTexts.roles[user.role] ?? user.role],
            [texts.made, <Time key="made" iso={user.created_at} />],
          ]}
        />
      ) : null}
      <Section title={texts.password}>
        <PasswordForm email={user?.email ?? ""} />
      </Section>
    </Page>
  );
}

function PasswordForm({ email }: { email: string }) {
  const [old, setOld] = useState("");
  const [next, setNext] = useState("");
  const change = useChange(
    () => api.POST("/node/session/password/", { body: { old_password: old, new_password: next } }),
    {
      reloads: [SESSIONS],
      onDone: () => {
        setOld("");
        setNext("");
        toast(texts.changed);
      },
    },
  );
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!change.isPending) change.mutate(undefined);
  };
  const errors = fieldErrors(change.error);
  const isWrong = change.error instanceof ProblemError && change.error.problem.code === "login_failed";
  const newError = errors["new_password"] ?? errors["password"];
  return (
    <form className={`${styles.form} ${styles.inPage}`} onSubmit={submit}>
      <PasswordInput
        label={texts.old}
        autoComplete="current-password"
        error={isWrong ? texts.wrong : undefined}
        value={old}
        onChange={setOld}
      />
      <NewPasswordInput
        label={texts.new}
        hint={texts.hint}
        error={newError}
        email={email}
        value={next}
        onChange={setNext}
      />
      {change.error && !isWrong && !newError ? <ErrorNotice error={change.error} /> : null}
      <div>
        <Button type="submit" look="primary" disabled={change.isPending}>
          {texts.submit}
        </Button>
      </div>
    </form>
  );
}
