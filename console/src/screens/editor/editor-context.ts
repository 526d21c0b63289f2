import { createContext, useContext } from "react";
import { useStore } from "zustand";
import type { FlowNode } from "../flows/flow-nodes";
import type { Check } from "./check";
import type { Commands } from "./commands";
import type { Draft } from "./draft";
import type { EditorSession } from "./editor-session";
import type { Kinds, NodeKinds } from "./kinds";

interface Editor {
  session: EditorSession;
  kinds: Kinds;
  /** With the functions of expressions, too. */
  answer: NodeKinds;
  commands: Commands;
  check: Check;
}

export const EditorContext = createContext<Editor | null>(null);

export function useEditor(): Editor {
  const editor = useContext(EditorContext);
  if (!editor) throw new Error("outside of an editor");
  return editor;
}

export function useDraft(): Draft {
  return useStore(useEditor().session.drafts.store, (state) => state.draft);
}

export function useSelectedNodes(): ReadonlySet<string> {
  return useStore(useEditor().session.drafts.store, (state) => state.nodes);
}

export function useSelectedEdges(): ReadonlySet<string> {
  return useStore(useEditor().session.drafts.store, (state) => state.edges);
}

/** Return the node that is selected, if it is one. */
export function useOneSelected(): FlowNode | undefined {
  const draft = useDraft();
  const [id, ...others] = useSelectedNodes();
  return others.length === 0 ? draft.nodes.find((node) => node.id === id) : undefined;
}
