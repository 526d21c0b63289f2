import createClient from "openapi-fetch";
import createHooks from "openapi-react-query";
import { connectionLost, GatewayAway } from "./connection";
import { problemOf } from "./problem";
import type { paths } from "./schema";
import { closeSession, openSession, type Session, sessionAgain, useSession } from "./session";

const SESSION = "/node/session/";
/** What the gateway answers when there is no session, or it has ended. */
const SESSION_ENDED = new Set(["session_invalid", "api_key_missing"]);
const SAFE_METHODS = new Set(["GET", "HEAD"]);

/**
 * Send a request with the session's cookie and CSRF token.
 *
 * A request that came after the session's end is sent again when the user has logged in; one whose token was
 * refused is sent once more with a new one.
 */
export async function sessionFetch(request: Request): Promise<Response> {
  let response = await send(request);
  while (useSession.getState().session && !request.url.endsWith(SESSION) && (await hasEnded(response))) {
    await sessionAgain();
    response = await send(request);
  }
  if (await renewsToken(response)) response = await send(request);
  return response;
}

async function hasEnded(response: Response): Promise<boolean> {
  return response.status === 401 && SESSION_ENDED.has((await codeOf(response)) ?? "");
}

/**
 * Whether an answer refuses the CSRF token, and the same user's session has another one now.
 *
 * If the browser is another user's by now, the page is loaded again: nothing is sent in the name of that user.
 */
export async function renewsToken(response: Response): Promise<boolean> {
  if (response.status !== 403 || (await codeOf(response)) !== "csrf_failed") return false;
  const before = useSession.getState().session?.user.id;
  const session = await loadSession();
  if (before !== undefined && session !== null && session.user.id !== before) {
    window.location.reload();
    return false;
  }
  return session !== null;
}

async function send(request: Request): Promise<Response> {
  const attempt = request.clone();
  const token = useSession.getState().session?.csrf_token;
  if (token && !SAFE_METHODS.has(attempt.method)) attempt.headers.set("X-CSRF-Token", token);
  try {
    return await fetch(attempt);
  } catch (error) {
    if (attempt.signal.aborted) throw error;
    connectionLost();
    throw new GatewayAway();
  }
}

async function codeOf(response: Response): Promise<string | undefined> {
  try {
    return ((await response.clone().json()) as { code?: string }).code;
  } catch {
    return undefined;
  }
}

/** Calls of routes by their paths, typed by the OpenAPI document. */
export const api = createClient<paths>({ baseUrl: window.location.origin, fetch: sessionFetch });
api.use({
  async onResponse({ response }) {
    if (!response.ok) throw await problemOf(response);
    return undefined;
  },
});

/** The same as queries and mutations: `hooks.useQuery("get", "/node/flows/")`. */
export const hooks = createHooks(api);

/** Ask the gateway for the session of this browser's cookie; null: there is none. */
export async function loadSession(): Promise<Session | null> {
  const response = await send(new Request(SESSION, { cache: "no-store" }));
  if (response.status === 401) return null;
  if (!response.ok) throw await problemOf(response);
  const session = (await response.json()) as Session;
  openSession(session);
  return session;
}

/** Log in with an e-mail address and a password. */
export async function logIn(email: string, password: string): Promise<Session> {
  const { data } = await api.POST(SESSION, { body: { email, password } });
  return opened(data);
}

/** Log out, and forget the session. */
export async function logOut(): Promise<void> {
  const response = await sessionFetch(new Request(SESSION, { method: "DELETE" }));
  if (!response.ok && response.status !== 401) throw await problemOf(response);
  closeSession();
}

export function opened(session: Session | undefined): Session {
  if (!session) throw new Error("an answer without a body");
  openSession(session);
  return session;
}
