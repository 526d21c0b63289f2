import { useSession } from "../api/session";
import { LoginForm } from "../screens/account/login-form";
import { t } from "../strings";
import { Dialog } from "../ui/dialog";

/** Over the page when its session has ended; after the log-in its requests are sent again. */
export function SessionEndedDialog() {
  const { session, hasEnded } = useSession();
  if (!hasEnded) return null;
  return (
    <Dialog title={t.login.endedTitle} narrow>
      <p>{t.login.endedText}</p>
      <LoginForm email={session?.user.email} onDone={() => undefined} />
    </Dialog>
  );
}
