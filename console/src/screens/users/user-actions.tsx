import { useState } from "react";
import { bodyOf, useChange } from "../../api/change";
import { api } from "../../api/client";
import { useSession } from "../../api/session";
import { t } from "../../strings";
import { settingsTexts } from "../../strings/settings";
import { useAction } from "../../ui/action";
import { AsCurl } from "../../ui/as-curl";
import { Button, GuardedButton } from "../../ui/button";
import { DeleteDialog } from "../../ui/delete-dialog";
import { Dialog } from "../../ui/dialog";
import { ActionMenu, type MenuAction } from "../../ui/menu";
import { ErrorNotice } from "../../ui/notice";
import { toast } from "../../ui/toast";
import { RoleChoice } from "./invite-dialog";
import { type Role, USERS, type User, useNoChangeReason } from "./queries";

const texts = settingsTexts.users;

interface UserMenuProps {
  user: User;
  /** Makes a link for the user: the list shows it, as it must outlive a row. */
  onLink: (user: User) => void;
}

/** What can be done with a user; for one who cannot be changed, why not. */
export function UserMenu(props: UserMenuProps) {
  const reason = useNoChangeReason(props.user);
  if (reason !== null) return <GuardedButton reason={reason}>{texts.change}</GuardedButton>;
  return <ChangeableUser {...props} />;
}

function ChangeableUser({ user, onLink }: UserMenuProps) {
  const [open, setOpen] = useState<"role" | "delete" | null>(null);
  const { id, email, state } = user;
  const params = { path: { user_id: id } };
  const setState = (next: User["state"]) =>
    api.PATCH("/node/users/{user_id}/", { params, body: { state: next } });
  const activate = useAction(() => setState("active"), {
    reloads: [USERS],
    onDone: () => toast(texts.wasActivated(email)),
  });
  const deactivate = useAction(() => setState("deactivated"), {
    reloads: [USERS],
    onDone: () => toast(texts.wasDeactivated(email), { label: t.common.undo, onPress: activate }),
  });
  const endSessions = useAction(() => api.DELETE("/node/users/{user_id}/sessions/", { params }), {
    reloads: [],
    onDone: () => toast(texts.sessionsEnded(email)),
  });
  const actions: MenuAction[] = [{ label: texts.change, onSelect: () => setOpen("role") }];
  if (state === "active")
    actions.push(
      { label: texts.link, onSelect: () => onLink(user) },
      { label: texts.endSessions, onSelect: endSessions },
      { label: texts.deactivate, onSelect: deactivate },
    );
  else actions.push({ label: texts.activate, onSelect: activate });
  actions.push({ label: texts.delete, onSelect: () => setOpen("delete"), danger: true });
  return (
    <>
      <ActionMenu label={t.common.actions(email)} actions={actions} />
      {open === "role" ? <RoleDialog user={user} onClose={() => setOpen(null)} /> : null}
      {open === "delete" ? (
        <DeleteDialog
          title={texts.deleteTitle(email)}
          text={texts.deleteText}
          name={email}
          submit={texts.delete}
          path={`${USERS}${id}/`}
          send={() => api.DELETE("/node/users/{user_id}/", { params })}
          reloads={[USERS]}
          onDeleted={() => toast(texts.deleted(email))}
          onClose={() => setOpen(null)}
        />
      ) : null}
    </>
  );
}

function RoleDialog({ user, onClose }: { user: User; onClose: () => void }) {
  const [role, setRole] = useState<Role>(user.role);
  const own = useSession(({ session }) => session?.user.role);
  const change = useChange(
    async () =>
      bodyOf(
        await api.PATCH("/node/users/{user_id}/", {
          params: { path: { user_id: user.id } },
          body: { role },
        }),
      ),
    {
      reloads: [USERS],
      onDone: ({ email, role: now }) =>
        toast(texts.changed(email, (settingsTexts.roles[now] ?? now).toLowerCase())),
    },
  );
  return (
    <Dialog
      title={texts.changeTitle(user.email)}
      narrow
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>{t.common.cancel}</Button>
          <Button
            look="primary"
            disabled={change.isPending}
            onClick={() => change.mutate(undefined, { onSuccess: onClose })}
          >
            {t.common.save}
          </Button>
        </>
      }
    >
      <RoleChoice role={role} onChange={setRole} mayOwn={own === "owner"} />
      {change.error ? <ErrorNotice error={change.error} /> : null}
      <AsCurl calls={[{ method: "PATCH", path: `${USERS}${user.id}/`, body: { role } }]} />
    </Dialog>
  );
}
