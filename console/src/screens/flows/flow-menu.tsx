import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { t } from "../../strings";
import { flowTexts } from "../../strings/flows";
import { useAction } from "../../ui/action";
import { download } from "../../ui/download";
import { ActionMenu, type MenuAction } from "../../ui/menu";
import { toast } from "../../ui/toast";
import { DeleteFlowDialog } from "./delete-flow";
import { copyOf, createExactFlow, fileOf, loadExactFlow } from "./exact-flow";

interface FlowMenuProps {
  flow: { id: string; name: string };
  /** The editor of the flow, which has buttons for the other actions. */
  editor?: {
    /** Saves the draft; whether the gateway has all of it. */
    save: () => Promise<boolean>;
    /** Forgets the draft. */
    discard: () => void;
  };
}

/** What can be done with a flow, behind three dots. */
export function FlowMenu({ flow, editor }: FlowMenuProps) {
  const [deletes, setDeletes] = useState(false);
  const navigate = useNavigate();
  const params = { flowId: flow.id };
  const saved = async () => {
    if (editor && !(await editor.save())) return null;
    return (await loadExactFlow(flow.id)).value;
  };
  const duplicate = useAction(
    async () => {
      const original = await saved();
      return original && createExactFlow(copyOf(original, flowTexts.actions.copyOf(original.name)));
    },
    {
      reloads: ["/node/flows/"],
      onDone: (copy) => {
        if (!copy) toast(flowTexts.actions.unsaved);
        else
          toast(flowTexts.actions.duplicated(copy.name), {
            label: flowTexts.actions.open,
            onPress: () => void navigate({ to: "/flows/$flowId/edit", params: { flowId: copy.id } }),
          });
      },
    },
  );
  const exportJson = useAction(saved, {
    reloads: [],
    onDone: (exported) => {
      if (!exported) {
        toast(flowTexts.actions.unsaved);
        return;
      }
      const { text, filename } = fileOf(exported);
      download(text, filename);
    },
  });
  const pages: MenuAction[] = [
    { label: flowTexts.actions.edit, onSelect: () => void navigate({ to: "/flows/$flowId/edit", params }) },
    {
      label: flowTexts.actions.deploy,
      onSelect: () => void navigate({ to: "/flows/$flowId/deploy/new", params }),
    },
    {
      label: flowTexts.actions.history,
      onSelect: () => void navigate({ to: "/flows/$flowId/history", params }),
    },
  ];
  return (
    <>
      <ActionMenu
        label={t.common.actions(flow.name)}
        actions={[
          ...(editor ? [] : pages),
          { label: flowTexts.actions.duplicate, onSelect: duplicate },
          { label: flowTexts.actions.export, onSelect: exportJson },
          { label: flowTexts.actions.delete, onSelect: () => setDeletes(true), danger: true },
        ]}
      />
      {deletes ? (
        <DeleteFlowDialog flow={flow} onClose={() => setDeletes(false)} onDiscard={editor?.discard} />
      ) : null}
    </>
  );
}
