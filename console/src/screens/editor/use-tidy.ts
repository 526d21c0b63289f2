import { useReactFlow } from "@xyflow/react";
import { useCallback } from "react";
import { useEditor } from "./editor-context";

const UNMEASURED = { width: 200, height: 80 };

/** Return a function that arranges all nodes; what computes it is loaded when it is first called. */
export function useTidy(): () => Promise<void> {
  const { session, commands } = useEditor();
  const flow = useReactFlow();
  return useCallback(async () => {
    const { tidied } = await import("./tidy");
    const sizeOf = (id: string) => {
      const { width, height } = flow.getNode(id)?.measured ?? {};
      return { width: width ?? UNMEASURED.width, height: height ?? UNMEASURED.height };
    };
    commands.place(tidied(session.drafts.draft, sizeOf));
    requestAnimationFrame(() => void flow.fitView());
  }, [session, commands, flow]);
}
