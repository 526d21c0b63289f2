import { api, opened } from "./client";
import type { components } from "./schema";
import type { Session } from "./session";

type NodeInfo = components["schemas"]["InfoOut"];

export async function nodeInfo(): Promise<NodeInfo> {
  const { data } = await api.GET("/node/info/");
  if (!data) throw new Error("an answer without a body");
  return data;
}

/** Set the password of the user whom an invitation is for; begins a session. */
export async function acceptInvitation(token: string, password: string): Promise<Session> {
  const { data } = await api.POST("/node/session/invitation/", { body: { token, password } });
  return opened(data);
}

/** Make the first account with the token of the printed link; begins a session. */
export async function setUp(token: string, email: string, password: string): Promise<Session> {
  const { data } = await api.POST("/node/setup/", { body: { token, email, password } });
  return opened(data);
}
