import { isKind, type ObjectRef, objectAt } from "./objects";

/** An object that was opened. */
export interface RecentObject extends ObjectRef {
  title: string;
}

const MAX_RECENT = 10;
const MAX_TITLE = 200;

/** Return the objects that a user has opened in this browser, the last one first. */
export function recentObjects(userId: string): RecentObject[] {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(place(userId)) ?? "[]");
    return Array.isArray(stored) ? stored.filter(isRecent).slice(0, MAX_RECENT) : [];
  } catch {
    return []; // not ours
  }
}

/** Note that a user has opened the page with a path, if it is that of an object. */
export function noteOpened(userId: string, path: string, title: string): void {
  const object = objectAt(path);
  if (!object || !title) return;
  localStorage.setItem(
    place(userId),
    JSON.stringify(withOpened(recentObjects(userId), { ...object, title: title.slice(0, MAX_TITLE) })),
  );
}

/** Return the list with another object in front. */
export function withOpened(recent: readonly RecentObject[], opened: RecentObject): RecentObject[] {
  const others = recent.filter(({ kind, id }) => kind !== opened.kind || id !== opened.id);
  return [opened, ...others].slice(0, MAX_RECENT);
}

function place(userId: string): string {
  return `slipstream.recent.${userId}`;
}

function isRecent(value: unknown): value is RecentObject {
  const { kind, id, title } = (value ?? {}) as Partial<Record<keyof RecentObject, unknown>>;
  return isKind(kind) && typeof id === "string" && typeof title === "string";
}
