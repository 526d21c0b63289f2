import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { fieldErrors, ProblemError } from "../../api/problem";
import { acceptInvitation } from "../../api/setup";
import { t } from "../../strings";
import { invitationTexts } from "../../strings/invitation";
import { Button, ButtonLink } from "../../ui/button";
import { ErrorNotice, Notice } from "../../ui/notice";
import styles from "./account.module.css";
import { AccountPage } from "./account-page";
import { NewPasswordInput } from "./new-password-input";

/** Sets the password of an invited user; the token is in the fragment, which reaches no log. */
export function InviteScreen() {
  const token = new URLSearchParams(window.location.hash.slice(1)).get("token");
  return (
    <AccountPage title={invitationTexts.title}>
      {token ? (
        <InviteForm token={token} />
      ) : (
        <Notice kind="warn" title={invitationTexts.noToken}>
          <p>{invitationTexts.noTokenText}</p>
        </Notice>
      )}
    </AccountPage>
  );
}

function InviteForm({ token }: { token: string }) {
  const [password, setPassword] = useState("");
  const navigate = useNavigate();
  const queries = useQueryClient();
  const accept = useMutation({
    mutationFn: () => acceptInvitation(token, password),
    onSuccess: () => {
      queries.clear(); // another user may have been logged in
      void navigate({ to: "/flows", replace: true });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    accept.mutate();
  };
  const wrong = fieldErrors(accept.error)["password"];
  return (
    <form className={styles.form} onSubmit={submit}>
      <p>{invitationTexts.text}</p>
      <NewPasswordInput
        label={t.login.password}
        hint={invitationTexts.passwordHint}
        error={wrong}
        email=""
        value={password}
        onChange={setPassword}
      />
      {accept.error && !wrong ? <InviteError error={accept.error} /> : null}
      <Button type="submit" look="primary" disabled={accept.isPending}>
        {invitationTexts.submit}
      </Button>
    </form>
  );
}

function InviteError({ error }: { error: Error }) {
  if (error instanceof ProblemError && error.problem.code === "invitation_invalid")
    return (
      <Notice
        kind="bad"
        title={invitationTexts.used}
        action={<ButtonLink to="/login">{invitationTexts.login}</ButtonLink>}
      >
        <p>{invitationTexts.usedText}</p>
      </Notice>
    );
  return <ErrorNotice error={error} />;
}
