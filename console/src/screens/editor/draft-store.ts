import { temporal } from "zundo";
import { createStore } from "zustand";
import type { Draft } from "./draft";
import { merge } from "./merge";

interface Edited {
  draft: Draft;
  /** The ids of the selected nodes, and the keys of the selected edges. */
  nodes: ReadonlySet<string>;
  edges: ReadonlySet<string>;
}

const MAX_UNDO = 200;
const BURST_MILLISECONDS = 1000;
const NONE: ReadonlySet<string> = new Set();

/** A draft, what is selected in it, and its earlier states. */
export class DraftStore {
  readonly store;
  private burst: string | undefined;
  private burstAt = 0;
  readonly isReadOnly: boolean;

  /** A store that is read-only takes no edits. */
  constructor(draft: Draft, { isReadOnly = false } = {}) {
    this.isReadOnly = isReadOnly;
    this.store = createStore<Edited>()(
      temporal((): Edited => ({ draft, nodes: NONE, edges: NONE }), {
        partialize: (state) => ({ draft: state.draft }),
        equality: (one, other) => one.draft === other.draft,
        limit: MAX_UNDO,
      }),
    );
  }

  get draft(): Draft {
    return this.store.getState().draft;
  }

  /**
   * Replace the draft.
   *
   * Changes of the same `burst`, such as the letters that are typed into one field, are undone together.
   */
  edit(draft: Draft, burst?: string): void {
    if (this.isReadOnly || draft === this.draft) return;
    const now = Date.now();
    const goesOn = burst !== undefined && burst === this.burst && now - this.burstAt < BURST_MILLISECONDS;
    this.burst = burst;
    this.burstAt = now;
    if (goesOn) this.unrecorded(draft);
    else this.store.setState({ draft });
  }

  undo(): void {
    this.burst = undefined;
    this.store.temporal.getState().undo();
  }

  redo(): void {
    this.burst = undefined;
    this.store.temporal.getState().redo();
  }

  select(nodes: ReadonlySet<string>, edges: ReadonlySet<string> = NONE): void {
    this.store.setState({ nodes, edges });
  }

  /** Replace the draft by one that another editor's changes were merged into: undo does not take these back. */
  rebase(draft: Draft, base: Draft, theirs: Draft): void {
    const onto = (state: { draft?: Draft }) =>
      state.draft ? { draft: merge(base, state.draft, theirs).draft } : state;
    const { pastStates, futureStates } = this.store.temporal.getState();
    this.store.temporal.setState({
      pastStates: pastStates.map(onto),
      futureStates: futureStates.map(onto),
    });
    this.burst = undefined;
    this.unrecorded(draft);
  }

  private unrecorded(draft: Draft): void {
    const { pause, resume } = this.store.temporal.getState();
    pause();
    this.store.setState({ draft });
    resume();
  }
}
