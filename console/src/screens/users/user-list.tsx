import { Plus } from "lucide-react";
import { useState } from "react";
import { useChange } from "../../api/change";
import { Time } from "../../formats/time";
import { t } from "../../strings";
import { settingsTexts } from "../../strings/settings";
import { GuardedButton } from "../../ui/button";
import { List } from "../../ui/list";
import { errorMessage, Notice } from "../../ui/notice";
import { EmptyState, Page } from "../../ui/page";
import { Status } from "../../ui/status";
import { toast } from "../../ui/toast";
import { InviteDialog } from "./invite-dialog";
import { invitationOf, LinkDialog } from "./link-dialog";
import { type User, useNoAdminReason, useUsers } from "./queries";
import { UserMenu } from "./user-actions";

const texts = settingsTexts.users;

export function UserListScreen() {
  const reason = useNoAdminReason();
  const [invites, setInvites] = useState(false);
  return (
    <Page
      title={texts.title}
      actions={
        <GuardedButton look="primary" reason={reason} onClick={() => setInvites(true)}>
          <Plus size={16} aria-hidden />
          {texts.invite}
        </GuardedButton>
      }
    >
      {reason === null ? (
        <UserList />
      ) : (
        <Notice kind="info">
          <p>{reason}</p>
        </Notice>
      )}
      {invites ? <InviteDialog onClose={() => setInvites(false)} /> : null}
    </Page>
  );
}

function UserList() {
  const users = useUsers();
  const link = useChange(async (user: User) => ({ user, invitation: await invitationOf(user.id) }), {
    reloads: [],
    onError: (error) => toast(errorMessage(error)),
  });
  return (
    <>
      <List
        label={texts.title}
        query={users}
        columns={columns((user) => !link.isPending && link.mutate(user))}
        keyOf={({ id }) => id}
        empty={<EmptyState text={texts.empty} action={null} />}
      />
      {link.data ? <LinkDialog {...link.data} onDone={link.reset} /> : null}
    </>
  );
}

function columns(onLink: (user: User) => void) {
  return [
    { title: texts.email, cell: ({ email }: User) => <strong>{email}</strong> },
    { title: texts.role, cell: ({ role }: User) => settingsTexts.roles[role] ?? role },
    {
      title: texts.state,
      cell: ({ state }: User) =>
        state === "active" ? (
          <Status state="live">{texts.active}</Status>
        ) : (
          <Status state="paused">{texts.deactivated}</Status>
        ),
    },
    { title: texts.password, cell: ({ has_password }: User) => (has_password ? texts.set : texts.none) },
    {
      title: texts.login,
      cell: ({ last_login_at }: User) => (last_login_at ? <Time iso={last_login_at} /> : t.common.never),
    },
    { title: texts.actions, cell: (user: User) => <UserMenu user={user} onLink={onLink} /> },
  ];
}
