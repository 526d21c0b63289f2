import { create } from "zustand";
import type { components } from "./schema";

export type Session = components["schemas"]["LoggedInOut"];

interface SessionState {
  session: Session | null;
  /** The session ended while pages were open: the log-in dialog is over them. */
  hasEnded: boolean;
}

export const useSession = create<SessionState>(() => ({ session: null, hasEnded: false }));

let waiting: (() => void)[] = [];

/** Begin a session, and send the requests again that wait for one. */
export function openSession(session: Session): void {
  useSession.setState({ session, hasEnded: false });
  const resume = waiting;
  waiting = [];
  for (const each of resume) each();
}

/** Forget the session after a log-out. */
export function closeSession(): void {
  useSession.setState({ session: null, hasEnded: false });
}

/** Wait until the user has logged in again. */
export function sessionAgain(): Promise<void> {
  useSession.setState({ hasEnded: true });
  return new Promise((resolve) => waiting.push(resolve));
}
