import { bodyOf } from "../../api/change";
import { api } from "../../api/client";
import type { components } from "../../api/schema";
import { TimeLeft } from "../../formats/time";
import { settingsTexts } from "../../strings/settings";
import { CodeBlock } from "../../ui/copy";
import { SecretDialog } from "../../ui/secret-dialog";
import type { User } from "./queries";

type Invitation = components["schemas"]["InvitationOut"];

const texts = settingsTexts.users;

/** Make a link with which a user sets a password; it ends the user's older ones. */
export async function invitationOf(userId: string): Promise<Invitation> {
  return bodyOf(
    await api.POST("/node/users/{user_id}/invitation/", { params: { path: { user_id: userId } } }),
  );
}

interface LinkDialogProps {
  user: User;
  invitation: Invitation;
  onDone: () => void;
}

/** Shows an invitation link this once. */
export function LinkDialog({ user, invitation, onDone }: LinkDialogProps) {
  const { leaveTitle, leaveText, stay } = texts;
  return (
    <SecretDialog
      title={texts.linkTitle}
      text={texts.linkText(user.email)}
      question={{ title: leaveTitle, text: leaveText, stay }}
      onDone={onDone}
    >
      <CodeBlock label={texts.url} code={invitation.url} copyLabel={texts.copyLink} />
      <p>
        {texts.until}
        <TimeLeft iso={invitation.expires_at} />
      </p>
    </SecretDialog>
  );
}
