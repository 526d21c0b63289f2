import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { ReactFlowProvider } from "@xyflow/react";
import { useEffect, useMemo, useState } from "react";
import { useStore } from "zustand";
import { hooks } from "../../api/client";
import { t } from "../../strings";
import { editorTexts } from "../../strings/editor";
import { Loaded } from "../../ui/loading";
import { Notice } from "../../ui/notice";
import { useTitle } from "../../ui/page";
import { toast } from "../../ui/toast";
import { isUnfinished } from "../runs/run-status";
import { useCheck } from "./check";
import { Commands } from "./commands";
import { ConflictDialog } from "./conflict-dialog";
import styles from "./editor.module.css";
import { EditorContext } from "./editor-context";
import { type EditorSession, openEditor } from "./editor-session";
import { kindsOf, type NodeKinds } from "./kinds";
import { ProblemsLine } from "./problems-line";
import { TestData } from "./test-data";
import { Toolbar } from "./toolbar";
import { Workspace } from "./workspace";

const route = getRouteApi("/app/flows/$flowId/edit");

/** The editor of a flow. */
export function EditorScreen() {
  const { flowId } = route.useParams();
  const session = useQuery({
    queryKey: ["flow-editor", flowId],
    queryFn: () => openEditor(flowId),
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  });
  const kinds = hooks.useQuery("get", "/node/node-kinds/", undefined, {
    staleTime: Number.POSITIVE_INFINITY,
  });
  return (
    <Loaded query={session} rows={8}>
      {(opened) => <Loaded query={kinds}>{(known) => <Opened session={opened} answer={known} />}</Loaded>}
    </Loaded>
  );
}

function Opened({ session, answer }: { session: EditorSession; answer: NodeKinds }) {
  const [said, say] = useState("");
  const kinds = useMemo(() => kindsOf(answer), [answer]);
  const check = useCheck(session);
  const commands = useMemo(
    () => new Commands(session.drafts, kinds, { say, refuse: toast }),
    [session, kinds],
  );
  useShown(session);
  const name = useStore(session.drafts.store, ({ draft }) => draft.name);
  const isTested = useStore(session.tests.store, ({ run }) => run !== null && isUnfinished(run.status));
  useTitle(`${name} · ${t.flows.title}`, isTested);
  const editor = useMemo(
    () => ({ session, kinds, answer, commands, check }),
    [session, kinds, answer, commands, check],
  );
  return (
    <EditorContext value={editor}>
      <ReactFlowProvider>
        <div className={styles.editor} data-fill>
          <div>
            <Toolbar />
            {session.rounded === undefined ? null : (
              <Notice kind="warn">
                <p>{editorTexts.readOnlyText(session.rounded)}</p>
              </Notice>
            )}
          </div>
          <Workspace />
          <div>
            {session.isReadOnly ? null : <TestData />}
            <ProblemsLine />
          </div>
        </div>
        <ConflictDialog />
        <p role="status" className={styles.said}>
          {said}
        </p>
      </ReactFlowProvider>
    </EditorContext>
  );
}

/** Keep the session open while it is shown, and tell what happens to it by itself. */
function useShown(session: EditorSession) {
  useEffect(() => {
    if (session.isRestored && session.rounded === undefined) toast(editorTexts.restored);
    session.onMerged((nodes) => toast(editorTexts.merged(nodes.join(", "))));
    return session.show();
  }, [session]);
}
