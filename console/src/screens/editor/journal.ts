import type { Draft } from "./draft";

/** A draft as the gateway has it. */
export interface Saved {
  draft: Draft;
  etag: string;
  /** The first number of it that a browser rounds, if there is one: the draft must not be saved then. */
  rounded?: string;
}

/** What an editor has not saved yet. */
export interface JournalEntry {
  /** Of the editor: each tab has its own. */
  id: string;
  flowId: string;
  userId: string;
  /** What the gateway had when the changes were made. */
  base: Saved;
  draft: Draft;
  /** Milliseconds since 1970. */
  at: number;
}

const DATABASE = "slipstream-flow-editor";
const STORE = "drafts";
const BY_FLOW = "flow";

let database: Promise<IDBDatabase> | undefined;

/** Keep what an editor has not saved, so that it outlives the page; replaces the editor's last entry. */
export async function record(entry: JournalEntry): Promise<void> {
  await request("readwrite", (store) => store.put(entry));
}

/** Remove the entry of an editor whose changes are saved. */
export async function forget(id: string): Promise<void> {
  await request("readwrite", (store) => store.delete(id));
}

/** Return what closed editors of a user have left unsaved in a flow, newest first. */
export async function abandoned(flowId: string, userId: string): Promise<JournalEntry[]> {
  const entries: JournalEntry[] = await request("readonly", (store) => store.index(BY_FLOW).getAll(flowId));
  // Locks are there only in secure contexts. Without them an open editor's entry counts as abandoned: its
  // changes are then saved twice, and merged as equal.
  const held = (await navigator.locks?.query())?.held ?? [];
  const open = new Set(held.map(({ name }) => name));
  return entries
    .filter((entry) => entry.userId === userId && !open.has(lockOf(entry.id)))
    .sort((one, other) => other.at - one.at);
}

/** Mark an editor as open until the page ends, or until the function that is returned is called. */
export function holdOpen(id: string): () => void {
  let release = () => {};
  const closed = new Promise<void>((resolve) => {
    release = resolve;
  });
  void navigator.locks?.request(lockOf(id), () => closed);
  return release;
}

function lockOf(id: string): string {
  return `${DATABASE}:${id}`;
}

async function request<Result>(
  mode: IDBTransactionMode,
  make: (store: IDBObjectStore) => IDBRequest<Result>,
): Promise<Result> {
  database ??= openDatabase();
  const store = (await database).transaction(STORE, mode).objectStore(STORE);
  return settled(make(store));
}

function openDatabase(): Promise<IDBDatabase> {
  const opening = indexedDB.open(DATABASE, 1);
  opening.onupgradeneeded = () => {
    opening.result.createObjectStore(STORE, { keyPath: "id" }).createIndex(BY_FLOW, "flowId");
  };
  return settled(opening);
}

function settled<Result>(asked: IDBRequest<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
}
