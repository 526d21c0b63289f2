import { type FormEvent, useState } from "react";
import { bodyOf, useChange } from "../../api/change";
import { api } from "../../api/client";
import { fieldErrors } from "../../api/problem";
import { useSession } from "../../api/session";
import { t } from "../../strings";
import { settingsTexts } from "../../strings/settings";
import { AsCurl } from "../../ui/as-curl";
import { Button } from "../../ui/button";
import { Choice } from "../../ui/choice";
import { Dialog } from "../../ui/dialog";
import { Field, TextInput } from "../../ui/field";
import { ErrorNotice } from "../../ui/notice";
import { useHeld } from "../../ui/use-held";
import { invitationOf, LinkDialog } from "./link-dialog";
import { ROLES, type Role, USERS, type User } from "./queries";

const FORM = "invite-user";
const texts = settingsTexts.users;

/** Makes a user, and a link with which that user sets a password. */
export function InviteDialog({ onClose }: { onClose: () => void }) {
  const [email, setEmail] = useState("");
  const [role, setRole] = useState<Role>("member");
  const own = useSession(({ session }) => session?.user.role);
  // The user is made first: if only the link fails, the second try makes the link.
  const [made, setMade] = useState<User | null>(null);
  const invite = useChange(
    async () => {
      const user = made ?? bodyOf(await api.POST("/node/users/", { body: { email: email.trim(), role } }));
      setMade(user);
      return { user, invitation: await invitationOf(user.id) };
    },
    { reloads: [USERS] },
  );
  const isHeld = useHeld(invite);
  if (invite.data)
    return <LinkDialog user={invite.data.user} invitation={invite.data.invitation} onDone={onClose} />;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!invite.isPending) invite.mutate(undefined);
  };
  const close = () => {
    if (!isHeld) onClose();
  };
  const errors = fieldErrors(invite.error);
  return (
    <Dialog
      title={texts.inviteTitle}
      narrow
      onClose={close}
      footer={
        <>
          <Button onClick={close} disabled={isHeld}>
            {t.common.cancel}
          </Button>
          <Button type="submit" form={FORM} look="primary" disabled={invite.isPending}>
            {texts.inviteSubmit}
          </Button>
        </>
      }
    >
      <form id={FORM} onSubmit={submit}>
        <Field label={texts.email} error={errors["email"]}>
          <TextInput
            type="email"
            required
            maxLength={254}
            disabled={made !== null}
            value={email}
            onValueChange={setEmail}
          />
        </Field>
      </form>
      {made ? <p>{texts.made}</p> : <RoleChoice role={role} onChange={setRole} mayOwn={own === "owner"} />}
      {invite.error ? <ErrorNotice error={invite.error} /> : null}
      <AsCurl
        calls={[
          { method: "POST", path: USERS, body: { email: email.trim(), role } },
          { method: "POST", path: `${USERS}USER_ID/invitation/`, comment: texts.curlUserId },
        ]}
      />
    </Dialog>
  );
}

interface RoleChoiceProps {
  role: Role;
  onChange: (role: Role) => void;
  /** Whether owners can be made: by owners only. */
  mayOwn: boolean;
}

export function RoleChoice({ role, onChange, mayOwn }: RoleChoiceProps) {
  return (
    <Choice
      label={texts.role}
      value={role}
      onChange={onChange}
      options={ROLES.map((value) => ({
        value,
        label: settingsTexts.roles[value] ?? value,
        hint: value === "owner" && !mayOwn ? settingsTexts.onlyOwners : texts.roleHints[value],
        disabled: value === "owner" && !mayOwn,
      }))}
    />
  );
}
