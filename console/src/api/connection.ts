import { onlineManager } from "@tanstack/react-query";
import { create } from "zustand";

/** Seconds between two tries to reach the gateway: they double up to the last one. */
const DELAYS_SECONDS = [1, 2, 4, 8, 15] as const;

interface Connection {
  /** When the gateway stopped answering; null while it answers. */
  awaySince: Date | null;
  nextTry: Date | null;
}

export const useConnection = create<Connection>(() => ({ awaySince: null, nextTry: null }));

/** The gateway could not be reached: no answer came. */
export class GatewayAway extends Error {
  override name = "GatewayAway";
}

// Whether the machine has a network says nothing of a gateway, which may be on the same machine.
onlineManager.setEventListener(() => undefined);

let timer: ReturnType<typeof setTimeout> | undefined;

/**
 * Note that a request got no answer, and try until one comes.
 *
 * Queries then go on from their cache, and changes that are made meanwhile wait: the query client pauses them.
 */
export function connectionLost(): void {
  if (useConnection.getState().awaySince !== null) return;
  useConnection.setState({ awaySince: new Date() });
  onlineManager.setOnline(false);
  scheduleTry(0);
}

/** Try now, without waiting for the next try; while one goes on, there is none to wait for. */
export function tryNow(): void {
  if (useConnection.getState().nextTry === null) return;
  clearTimeout(timer);
  void probe(0);
}

function scheduleTry(number: number): void {
  const seconds = DELAYS_SECONDS[Math.min(number, DELAYS_SECONDS.length - 1)] ?? 1;
  useConnection.setState({ nextTry: new Date(Date.now() + seconds * 1000) });
  timer = setTimeout(() => void probe(number + 1), seconds * 1000);
}

async function probe(number: number): Promise<void> {
  useConnection.setState({ nextTry: null });
  try {
    await fetch("/livez", { cache: "no-store", signal: AbortSignal.timeout(5000) });
  } catch {
    scheduleTry(number);
    return;
  }
  useConnection.setState({ awaySince: null, nextTry: null });
  onlineManager.setOnline(true);
}
