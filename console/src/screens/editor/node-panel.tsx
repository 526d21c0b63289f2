import { Tabs } from "@base-ui/react/tabs";
import { Trash2, X } from "lucide-react";
import { editorTexts } from "../../strings/editor";
import { IconButton } from "../../ui/button";
import { Field, TextInput } from "../../ui/field";
import { Notice } from "../../ui/notice";
import tabs from "../../ui/tabs.module.css";
import type { Config, FlowNode } from "../flows/flow-nodes";
import { useEditor } from "./editor-context";
import { changeNode, type Members } from "./edits";
import { FailurePolicy } from "./failure-policy";
import { ConfigForm } from "./form/config-form";
import { KindIcon } from "./kind-icon";
import { NodeOutput } from "./node-output";
import styles from "./node-panel.module.css";

const TABS = ["settings", "output"] as const;

export type PanelTab = (typeof TABS)[number];

interface NodePanelProps {
  node: FlowNode;
  tab: PanelTab;
  onTab: (tab: PanelTab) => void;
  onClose: () => void;
}

/** The settings of a node, and what it gave. */
export function NodePanel({ node, tab, onTab, onClose }: NodePanelProps) {
  const { session, kinds, commands, check } = useEditor();
  const { drafts } = session;
  const kind = kinds.get(node.type);
  const problems = check.problems.filter((problem) => problem.node_id === node.id);
  const change = (members: Members) =>
    drafts.edit(changeNode(drafts.draft, node.id, members), `${node.id} ${Object.keys(members).join()}`);
  return (
    <>
      <header className={styles.header}>
        <h2>
          <KindIcon kind={kind} />
          {kind?.title ?? node.type}
        </h2>
        <IconButton
          label={editorTexts.panel.remove}
          aria-disabled={session.isReadOnly}
          onClick={() => (session.isReadOnly ? undefined : commands.removeSelected())}
        >
          <Trash2 size={16} aria-hidden />
        </IconButton>
        <IconButton label={editorTexts.panel.close} onClick={onClose}>
          <X size={16} aria-hidden />
        </IconButton>
      </header>
      <Tabs.Root value={tab} onValueChange={(chosen) => onTab(chosen as PanelTab)}>
        <Tabs.List className={`${tabs.tabs} ${styles.tabs}`} aria-label={editorTexts.panel.tabs}>
          {TABS.map((name) => (
            <Tabs.Tab key={name} value={name} className={tabs.tab}>
              {editorTexts.panel[name]}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <Tabs.Panel value="settings">
          <fieldset
            className={`${styles.content} ${styles.settings}`}
            disabled={session.isReadOnly}
            aria-label={editorTexts.panel.settings}
          >
            {kind ? <p className={styles.description}>{kind.description}</p> : null}
            <Field
              label={editorTexts.panel.name}
              hint={
                <>
                  {editorTexts.panel.id} <code>{node.id}</code>
                </>
              }
            >
              <TextInput
                value={node.name ?? ""}
                placeholder={node.id}
                maxLength={200}
                onValueChange={(name) => change({ name: name || undefined })}
              />
            </Field>
            {kind ? (
              <ConfigForm
                id={`${node.id}-config`}
                schema={kind.config_schema}
                ui={kind.ui}
                value={node.config ?? {}}
                problems={problems}
                path="config"
                node={node}
                onChange={(config: Config) => change({ config })}
              />
            ) : (
              <Notice kind="bad">{editorTexts.panel.unknown(node.type)}</Notice>
            )}
            <FailurePolicy node={node} problems={problems} onChange={change} />
          </fieldset>
        </Tabs.Panel>
        <Tabs.Panel value="output" className={styles.content}>
          <NodeOutput node={node} />
        </Tabs.Panel>
      </Tabs.Root>
    </>
  );
}
