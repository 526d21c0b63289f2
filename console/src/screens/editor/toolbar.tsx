import { useNavigate } from "@tanstack/react-router";
import { useReactFlow } from "@xyflow/react";
import { List, Maximize, Pencil, Redo2, Rocket, Undo2, Workflow } from "lucide-react";
import { useState } from "react";
import { useStore } from "zustand";
import { editorTexts } from "../../strings/editor";
import { Button, GuardedButton, IconButton } from "../../ui/button";
import { FlowMenu } from "../flows/flow-menu";
import styles from "./editor.module.css";
import { useDraft, useEditor } from "./editor-context";
import { RenameDialog } from "./rename-dialog";
import { SaveStatus } from "./save-status";
import { TestButton } from "./test-button";
import { useTidy } from "./use-tidy";
import { useView } from "./view";

/** The flow's name, whether it is saved, and what can be done with the whole graph. */
export function Toolbar() {
  const { session } = useEditor();
  const { name } = useDraft();
  const [isRenaming, setRenaming] = useState(false);
  const { view, choose } = useView();
  const flow = useReactFlow();
  const tidy = useTidy();
  const { drafts } = session;
  const canUndo = useStore(drafts.store.temporal, ({ pastStates }) => pastStates.length > 0);
  const reason = session.isReadOnly ? editorTexts.readOnlyReason : null;
  const canRedo = useStore(drafts.store.temporal, ({ futureStates }) => futureStates.length > 0);
  return (
    <header className={styles.toolbar}>
      <div className={styles.heading}>
        <h1>{name}</h1>
        <IconButton
          label={editorTexts.rename}
          aria-disabled={session.isReadOnly}
          title={reason ?? editorTexts.rename}
          onClick={() => (session.isReadOnly ? undefined : setRenaming(true))}
        >
          <Pencil size={14} aria-hidden />
        </IconButton>
        <SaveStatus />
      </div>
      <div className={styles.tools}>
        <IconButton label={editorTexts.undo} disabled={!canUndo} onClick={() => drafts.undo()}>
          <Undo2 size={16} aria-hidden />
        </IconButton>
        <IconButton label={editorTexts.redo} disabled={!canRedo} onClick={() => drafts.redo()}>
          <Redo2 size={16} aria-hidden />
        </IconButton>
        {view === "graph" ? (
          <>
            <IconButton label={editorTexts.fit} onClick={() => void flow.fitView()}>
              <Maximize size={16} aria-hidden />
            </IconButton>
            <GuardedButton look="quiet" reason={reason} onClick={() => void tidy()}>
              {editorTexts.tidy}
            </GuardedButton>
            <Button look="quiet" onClick={() => choose("list")}>
              <List size={16} aria-hidden />
              {editorTexts.listView}
            </Button>
          </>
        ) : (
          <Button look="quiet" onClick={() => choose("graph")}>
            <Workflow size={16} aria-hidden />
            {editorTexts.graphView}
          </Button>
        )}
        <TestButton />
        <DeployButton />
        <FlowMenu
          flow={{ id: session.flowId, name }}
          editor={{ save: () => session.saver.flush(), discard: () => session.saver.discard() }}
        />
      </div>
      {isRenaming ? <RenameDialog onClose={() => setRenaming(false)} /> : null}
    </header>
  );
}

/** Opens the deployment's dialog once everything is saved: it deploys what the gateway has. */
function DeployButton() {
  const { session } = useEditor();
  const navigate = useNavigate();
  const kind = useStore(session.saver.store, ({ state }) => state.kind);
  const isStuck = kind === "refused" || kind === "away" || kind === "conflict" || kind === "rounds";
  const open = async () => {
    const isSaved = await session.saver.flush();
    if (isSaved && window.location.pathname.endsWith(`/${session.flowId}/edit`))
      // else the page was left meanwhile
      await navigate({ to: "/flows/$flowId/deploy/new", params: { flowId: session.flowId } });
  };
  return (
    <Button
      look="primary"
      aria-disabled={isStuck}
      title={isStuck ? editorTexts.deployUnsaved : undefined}
      onClick={() => (isStuck ? undefined : void open())}
    >
      <Rocket size={16} aria-hidden />
      {editorTexts.deploy}
    </Button>
  );
}
