import { create } from "zustand";

/** What the gateway's stream can be about. */
export const TOPICS = [
  "flows",
  "deployments",
  "runs",
  "models",
  "servers",
  "keys",
  "deliveries",
  "calls",
  "rehearsals",
] as const;
export type Topic = (typeof TOPICS)[number];

/** One change; `id` is null where only the topic is known. Further members depend on the topic. */
export interface LiveItem {
  topic: Topic;
  id: string | null;
  [member: string]: unknown;
}

/** `asleep`: every tab has been hidden for a while. */
export type Connection =
  | { state: "connecting" | "live" | "asleep" }
  | { state: "reconnecting"; nextTry: number };

interface Live {
  connection: Connection;
  /** This tab keeps what it shows until the user goes on. */
  isPaused: boolean;
}

export const useLive = create<Live>(() => ({ connection: { state: "connecting" }, isPaused: false }));
