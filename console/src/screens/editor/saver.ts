import { createStore } from "zustand";
import { api } from "../../api/client";
import { GatewayAway, useConnection } from "../../api/connection";
import { ProblemError } from "../../api/problem";
import { exactNumberIn, parseJson } from "../../formats/lossless-json";
import { isSame } from "../../formats/same";
import { bodyOf, type Draft, draftOf } from "./draft";
import type { DraftStore } from "./draft-store";
import { forget, holdOpen, type JournalEntry, record, type Saved } from "./journal";
import { type Conflict, merge, type Side } from "./merge";

const SAVE_AFTER_MILLISECONDS = 800;
const RETRY_SECONDS = 5;

export type SaveState =
  | { kind: "saved"; at: Date | null }
  | { kind: "unsaved" | "saving" | "away" | "conflict" }
  | { kind: "refused"; error: ProblemError }
  | { kind: "rounds"; number: string };

interface SaverState {
  state: SaveState;
  /** The nodes that another editor has changed, too, until the user has decided. */
  conflicts: readonly Conflict[];
}

interface SaverOptions {
  flowId: string;
  userId: string;
  drafts: DraftStore;
  saved: Saved;
  /** Called with the nodes of another editor's changes that were merged. */
  onMerged: (nodes: readonly string[]) => void;
  /** Called with what the gateway has now. */
  onSaved: (saved: Saved) => void;
}

/**
 * Saves a draft some time after its last change, with one request at a time.
 *
 * Until the gateway has it, it is in the journal. Changes that another editor has saved meanwhile are merged.
 */
export class Saver {
  readonly store = createStore<SaverState>(() => ({ state: { kind: "saved", at: null }, conflicts: [] }));
  private readonly id = `${Date.now()}-${Math.random()}`;
  private readonly options: SaverOptions;
  private ends: (() => void)[] = [];
  private base: Saved;
  private theirs: Saved | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private running: Promise<void> | null = null;

  constructor(options: SaverOptions) {
    this.options = options;
    this.base = options.saved;
    this.start();
  }

  /** Save changes from now on; nothing happens while it does so already. */
  start(): void {
    if (this.ends.length > 0) return;
    this.ends = [
      holdOpen(this.id),
      this.options.drafts.store.subscribe((now, before) => {
        if (now.draft !== before.draft) this.changed();
      }),
      useConnection.subscribe(({ awaySince }) => {
        if (awaySince === null && this.store.getState().state.kind === "away") void this.save();
      }),
    ];
  }

  get isSaved(): boolean {
    return this.store.getState().state.kind === "saved";
  }

  /** Take over what closed editors have left, and save it. */
  async adopt(entries: readonly JournalEntry[]): Promise<void> {
    const [newest, ...older] = entries;
    if (!newest) return;
    const now = this.base;
    const left = older.reduce(
      (draft, entry) => merge(entry.base.draft, draft, entry.draft).draft,
      newest.draft,
    );
    this.base = newest.base;
    this.options.drafts.rebase(left, newest.base.draft, newest.base.draft);
    await this.written();
    await Promise.all(entries.map(({ id }) => forget(id)));
    if (now.etag === newest.base.etag) await this.save();
    else this.reconcile(now);
  }

  /** Save now; whether the gateway has everything afterwards. */
  async flush(): Promise<boolean> {
    await this.running;
    if (!this.isSaved) await this.save();
    return this.isSaved;
  }

  /** Go on with what was decided of each node in conflict. */
  resolve(choices: ReadonlyMap<string, Side>): void {
    if (!this.theirs) return;
    this.take(this.theirs, choices);
  }

  /** Stop; what is not saved stays in the journal. */
  end(): void {
    clearTimeout(this.timer);
    for (const end of this.ends) end();
    this.ends = [];
  }

  /** Stop, and forget what is not saved: there is no such flow any longer. */
  discard(): void {
    this.end();
    void forget(this.id).catch(() => undefined);
    this.show({ kind: "saved", at: null });
  }

  private changed(): void {
    void this.written();
    const { kind } = this.store.getState().state;
    if (kind === "conflict") return;
    if (kind !== "saving" && kind !== "away") this.show({ kind: "unsaved" });
    this.schedule(SAVE_AFTER_MILLISECONDS);
  }

  private schedule(milliseconds: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.save(), milliseconds);
  }

  /** Save, unless a request is on the way: what it does not have is saved after it. */
  private async save(): Promise<void> {
    clearTimeout(this.timer);
    if (this.running || this.theirs) return;
    this.running = this.send().finally(() => {
      this.running = null;
    });
    await this.running;
  }

  private async send(): Promise<void> {
    const draft = this.options.drafts.draft;
    if (isSame(draft, this.base.draft)) {
      this.done(draft);
      return;
    }
    if (useConnection.getState().awaySince !== null) {
      this.show({ kind: "away" });
      return;
    }
    this.show({ kind: "saving" });
    try {
      this.base = await put(this.options.flowId, draft, this.base.etag);
      this.options.onSaved(this.base);
      this.done(draft);
    } catch (error) {
      await this.failed(error);
    }
  }

  private done(draft: Draft): void {
    if (this.options.drafts.draft !== draft) {
      this.show({ kind: "unsaved" });
      this.schedule(SAVE_AFTER_MILLISECONDS);
      return;
    }
    void forget(this.id).catch(() => undefined);
    this.show({ kind: "saved", at: new Date() });
  }

  private async failed(error: unknown): Promise<void> {
    if (error instanceof GatewayAway) {
      this.show({ kind: "away" });
      return;
    }
    if (!(error instanceof ProblemError)) {
      // The connection ended within an answer: whether it was saved is not known.
      this.show({ kind: "unsaved" });
      this.schedule(RETRY_SECONDS * 1000);
      return;
    }
    if (error.problem.status === 412) {
      await this.compare();
      return;
    }
    this.show({ kind: "refused", error });
    if (error.problem.retryable) this.schedule((error.retryAfter ?? RETRY_SECONDS) * 1000);
  }

  /** Ask what another editor has saved. */
  private async compare(): Promise<void> {
    let theirs: Saved;
    try {
      theirs = await load(this.options.flowId);
    } catch (error) {
      await this.failed(error);
      return;
    }
    this.reconcile(theirs);
  }

  /** Merge what the gateway has, or ask the user about what both have changed. */
  private reconcile(theirs: Saved): void {
    if (theirs.rounded !== undefined) {
      this.show({ kind: "rounds", number: theirs.rounded });
      return;
    }
    const { conflicts } = merge(this.base.draft, this.options.drafts.draft, theirs.draft);
    if (conflicts.length === 0) {
      this.take(theirs, new Map());
      return;
    }
    this.theirs = theirs;
    this.store.setState({ conflicts, state: { kind: "conflict" } });
  }

  private take(theirs: Saved, choices: ReadonlyMap<string, Side>): void {
    const { drafts, onMerged } = this.options;
    const before = this.base.draft;
    const { draft, changedByThem } = merge(before, drafts.draft, theirs.draft, choices);
    this.base = theirs;
    this.theirs = null;
    this.store.setState({ conflicts: [] });
    drafts.rebase(draft, before, theirs.draft);
    if (changedByThem.length > 0) onMerged(changedByThem);
    this.show({ kind: "unsaved" });
    this.schedule(0);
  }

  private show(state: SaveState): void {
    this.store.setState({ state });
  }

  private async written(): Promise<void> {
    const { drafts, flowId, userId } = this.options;
    const entry = { id: this.id, flowId, userId, base: this.base, draft: drafts.draft, at: Date.now() };
    // A browser without a database, as in some private windows, has the draft in memory only.
    await record(entry).catch(() => undefined);
  }
}

/** Ask the gateway for a flow. */
export async function load(flowId: string): Promise<Saved> {
  const { data, response } = await api.GET("/node/flows/{flow_id}/", {
    params: { path: { flow_id: flowId } },
    cache: "no-store",
    parseAs: "text",
  });
  if (!data) throw new Error("an answer without a body");
  const rounded = exactNumberIn(parseJson(data))?.text;
  const draft = draftOf(JSON.parse(data));
  return { draft, etag: response.headers.get("etag") ?? "", ...(rounded === undefined ? {} : { rounded }) };
}

async function put(flowId: string, draft: Draft, etag: string): Promise<Saved> {
  const { response } = await api.PUT("/node/flows/{flow_id}/", {
    params: { path: { flow_id: flowId } },
    headers: { "If-Match": etag },
    body: bodyOf(draft),
  });
  return { draft, etag: response.headers.get("etag") ?? "" };
}
