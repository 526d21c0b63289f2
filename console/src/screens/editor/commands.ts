import { editorTexts } from "../../strings/editor";
import { type FlowEdge, nameOf, type Position } from "../flows/flow-nodes";
import { type Refusal, refusal } from "./connections";
import type { Draft } from "./draft";
import type { DraftStore } from "./draft-store";
import { addNode, connect, moveBy, partOf, partOfText, paste, place, remove } from "./edits";
import type { Kinds, NodeKind } from "./kinds";

interface Listener {
  /** Tells screen readers what has happened. */
  say: (text: string) => void;
  /** Shows why something was not done. */
  refuse: (text: string) => void;
}

const NONE: ReadonlySet<string> = new Set();

/** What a user does to the graph, by pointer or keys. */
export class Commands {
  private readonly drafts: DraftStore;
  private readonly kinds: Kinds;
  private readonly listener: Listener;

  constructor(drafts: DraftStore, kinds: Kinds, listener: Listener) {
    this.drafts = drafts;
    this.kinds = kinds;
    this.listener = listener;
  }

  /** Add a node after the selected one, or at a position; returns its id. */
  add(kind: NodeKind, position?: Position): string {
    const [selected, ...others] = this.drafts.store.getState().nodes;
    const after = others.length === 0 && !position ? selected : undefined;
    const { draft, id } = addNode(this.drafts.draft, this.kinds, kind, { after, position });
    this.drafts.edit(draft);
    this.drafts.select(new Set([id]));
    this.listener.say(editorTexts.added(nameIn(draft, id)));
    return id;
  }

  /** Return why an edge cannot be added, as a sentence; null: it can. */
  refusalOf(edge: FlowEdge): string | null {
    const found = refusal(this.drafts.draft, this.kinds, edge);
    return found && refusalText(this.drafts.draft, found);
  }

  connect(edge: FlowEdge): void {
    const { draft } = this.drafts;
    const refused = this.refusalOf(edge);
    if (refused) {
      this.listener.refuse(refused);
      return;
    }
    this.drafts.edit(connect(draft, edge));
    this.listener.say(editorTexts.connected(nameIn(draft, edge.source), nameIn(draft, edge.target)));
  }

  disconnect(key: string): void {
    this.drafts.edit(remove(this.drafts.draft, NONE, new Set([key])));
    this.listener.say(editorTexts.removed(1));
  }

  removeSelected(): void {
    const { nodes, edges } = this.drafts.store.getState();
    if (nodes.size + edges.size === 0 || this.isRefused()) return;
    this.drafts.edit(remove(this.drafts.draft, nodes, edges));
    this.drafts.select(NONE);
    this.listener.say(editorTexts.removed(nodes.size + edges.size));
  }

  moveSelected(by: Position): void {
    const { nodes } = this.drafts.store.getState();
    if (nodes.size > 0) this.drafts.edit(moveBy(this.drafts.draft, nodes, by), `move ${[...nodes].join()}`);
  }

  place(positions: ReadonlyMap<string, Position>): void {
    this.drafts.edit(place(this.drafts.draft, positions));
  }

  selectAll(): void {
    this.drafts.select(new Set(this.drafts.draft.nodes.map(({ id }) => id)));
  }

  /** Return the selected nodes as text that can be pasted; null: none is selected. */
  copied(): string | null {
    const { draft, nodes } = this.drafts.store.getState();
    const part = partOf(draft, nodes);
    if (part.nodes.length === 0) return null;
    this.listener.say(editorTexts.copied(part.nodes.length));
    return JSON.stringify(part, null, 2);
  }

  /** Add the nodes of a text; whether it has any. */
  paste(text: string): boolean {
    const part = partOfText(text);
    if (!part || this.isRefused()) return false;
    const { draft, ids } = paste(this.drafts.draft, part);
    this.drafts.edit(draft);
    this.drafts.select(ids);
    this.listener.say(editorTexts.pasted(ids.size));
    return true;
  }

  /** Whether the flow is read-only, which is said. */
  private isRefused(): boolean {
    if (this.drafts.isReadOnly) this.listener.refuse(editorTexts.readOnlyReason);
    return this.drafts.isReadOnly;
  }
}

function refusalText(draft: Draft, found: Refusal): string {
  if (found.reason === "cycle")
    return editorTexts.refused.cycle(found.path.map((id) => nameIn(draft, id)).join(" → "));
  return editorTexts.refused[found.reason](nameIn(draft, found.node));
}

function nameIn(draft: Draft, id: string): string {
  const node = draft.nodes.find((each) => each.id === id);
  return node ? nameOf(node) : id;
}
