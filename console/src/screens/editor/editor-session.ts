import { hooks } from "../../api/client";
import { queryClient } from "../../api/query-client";
import { useSession } from "../../api/session";
import { bodyOf } from "./draft";
import { DraftStore } from "./draft-store";
import { FlowTests } from "./flow-tests";
import { abandoned, type Saved } from "./journal";
import { load, Saver } from "./saver";

/** The editing of one flow; it outlives its page until everything is saved. */
export class EditorSession {
  readonly drafts: DraftStore;
  readonly saver: Saver;
  readonly tests: FlowTests;
  readonly flowId: string;
  readonly userId: string;
  /** Whether changes were found that a closed editor had not saved. */
  readonly isRestored: boolean;
  /** A number of the flow that the editor would round: it is shown, and never saved. */
  readonly rounded: string | undefined;
  private pages = 0;
  private listener: MergeListener | null = null;
  private untold: readonly string[] = [];

  constructor(flowId: string, userId: string, saved: Saved, isRestored: boolean) {
    this.flowId = flowId;
    this.userId = userId;
    this.isRestored = isRestored;
    this.rounded = saved.rounded;
    this.drafts = new DraftStore(saved.draft, { isReadOnly: saved.rounded !== undefined });
    this.tests = new FlowTests(flowId, this.drafts);
    this.saver = new Saver({
      flowId,
      userId,
      drafts: this.drafts,
      saved,
      onMerged: (nodes) => this.merged(nodes),
      onSaved: (now) => showSaved(flowId, now),
    });
  }

  /** Whether it has what the gateway may not have, or a page shows it. */
  get isNeeded(): boolean {
    return this.pages > 0 || !this.saver.isSaved;
  }

  get isReadOnly(): boolean {
    return this.drafts.isReadOnly;
  }

  /** Keep the session while a page shows it; the function that is returned lets it end. */
  show(): () => void {
    this.pages += 1;
    // It may have ended after it was handed out, when everything was saved that a page before had left.
    this.saver.start();
    if (this.pages === 1) this.tests.resume();
    if (!sessions.has(this.flowId)) sessions.set(this.flowId, this);
    return () => {
      this.pages -= 1;
      if (this.pages === 0) this.tests.end();
      void this.saver.flush().then((isSaved) => {
        if (!isSaved || this.pages > 0) return;
        this.saver.end();
        if (sessions.get(this.flowId) === this) sessions.delete(this.flowId);
      });
    };
  }

  /** Call the listener with what is merged from now on, and with what was merged before there was one. */
  onMerged(listener: MergeListener): void {
    this.listener = listener;
    if (this.untold.length > 0) listener(this.untold);
    this.untold = [];
  }

  private merged(nodes: readonly string[]): void {
    if (this.listener) this.listener(nodes);
    else this.untold = [...this.untold, ...nodes];
  }
}

/** Is called with the nodes of another editor's changes that were merged. */
type MergeListener = (nodes: readonly string[]) => void;

const sessions = new Map<string, EditorSession>();

/** Return the session of a flow; a new one has what closed editors left unsaved. */
export async function openEditor(flowId: string): Promise<EditorSession> {
  const userId = useSession.getState().session?.user.id ?? "";
  const open = sessions.get(flowId);
  // A page that was left before it was shown leaves one behind, which has what the flow was then.
  if (open?.userId === userId && open.isNeeded) return open;
  open?.saver.end();
  const saved = await load(flowId);
  const left = await abandoned(flowId, userId).catch(() => []);
  const session = new EditorSession(flowId, userId, saved, left.length > 0);
  sessions.set(flowId, session);
  if (session.rounded === undefined) await session.saver.adopt(left);
  return session;
}

/** Show other pages what was saved, without asking the gateway for it. */
function showSaved(flowId: string, { draft }: Saved): void {
  const { queryKey } = hooks.queryOptions("get", "/node/flows/{flow_id}/", {
    params: { path: { flow_id: flowId } },
  });
  queryClient.setQueryData(queryKey, (flow) => flow && { ...flow, ...bodyOf(draft) });
  void queryClient.invalidateQueries({ queryKey: ["list", "/node/flows/"] });
}
