import { addCalls } from "./calls";
import { LONGEST_MILLISECONDS, pauseAfter } from "./pace";
import { refreshAll, refreshItems } from "./queries";
import { type LiveItem, useLive } from "./state";

const COLLECT_MILLISECONDS = 100;

let pending: LiveItem[] = [];
let timer: ReturnType<typeof setTimeout> | undefined;
/** When the next refresh may be. */
let nextRefresh = 0;
let isRefreshing = false;
/** Something has changed while this tab was paused or hidden. */
let isBehind = false;

document.addEventListener("visibilitychange", catchUp);

/** Bring what is shown up to date, soon; a tab that is paused or hidden does so later, once. */
export function applyItems(items: LiveItem[]): void {
  addCalls(items);
  pending.push(...items);
  schedule();
}

function schedule(): void {
  if (timer !== undefined || isRefreshing || pending.length === 0) return;
  timer = setTimeout(refresh, Math.max(COLLECT_MILLISECONDS, nextRefresh - Date.now()));
}

/** Changes may have been missed: read everything again that is shown. */
export function applyReset(): void {
  isBehind = true;
  catchUp();
}

/** Keep what is shown, or go on. */
export function setPaused(isPaused: boolean): void {
  useLive.setState({ isPaused });
  catchUp();
}

function refresh(): void {
  timer = undefined;
  const items = pending;
  pending = [];
  if (isHeld()) {
    isBehind = true;
    return;
  }
  void paced(refreshItems(items));
}

/** Let the next refresh be the later, the longer this one takes; without a network none ends. */
async function paced(refreshing: Promise<void>): Promise<void> {
  const began = Date.now();
  const longest = new Promise<void>((resolve) => setTimeout(resolve, LONGEST_MILLISECONDS));
  isRefreshing = true;
  await Promise.race([refreshing, longest]);
  isRefreshing = false;
  nextRefresh = began + pauseAfter(Date.now() - began);
  schedule();
}

function catchUp(): void {
  if (!isBehind || isHeld()) return;
  isBehind = false;
  void paced(refreshAll());
}

function isHeld(): boolean {
  return useLive.getState().isPaused || document.visibilityState === "hidden";
}
