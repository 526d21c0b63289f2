import { Link2Off } from "lucide-react";
import { useState } from "react";
import { editorTexts } from "../../strings/editor";
import { IconButton } from "../../ui/button";
import { Choice } from "../../ui/choice";
import { Dialog } from "../../ui/dialog";
import { type FlowNode, nameOf } from "../flows/flow-nodes";
import styles from "./connect-dialog.module.css";
import { casesOf } from "./connections";
import { edgeKey } from "./draft";
import { useDraft, useEditor } from "./editor-context";
import { edgeFrom } from "./edits";

const ALWAYS = "";

interface ConnectDialogProps {
  node: FlowNode;
  onClose: () => void;
}

/** Connects a node by keyboard: lists where an edge may lead, and why not elsewhere. */
export function ConnectDialog({ node, onClose }: ConnectDialogProps) {
  const { commands } = useEditor();
  const draft = useDraft();
  const cases = casesOf(node);
  const [chosen, setChosen] = useState(() => edgeFrom(draft, node.id, "").case ?? ALWAYS);
  const edgeTo = (target: string) => ({
    source: node.id,
    target,
    ...(chosen === ALWAYS ? {} : { case: chosen }),
  });
  const targets = draft.nodes
    .filter(({ id }) => id !== node.id)
    .map((target) => ({ target, refused: commands.refusalOf(edgeTo(target.id)) }))
    .sort((one, other) => Number(one.refused !== null) - Number(other.refused !== null));
  const edges = draft.edges.filter(({ source }) => source === node.id);
  const nameOfId = (id: string) => nameOf(draft.nodes.find((each) => each.id === id) ?? node);
  const connect = (target: string) => {
    commands.connect(edgeTo(target));
    onClose();
  };
  return (
    <Dialog title={editorTexts.connectTitle(nameOf(node))} onClose={onClose} narrow>
      {targets.length ? (
        <section className={styles.part} aria-label={editorTexts.connectTargets}>
          <h3>{editorTexts.connectTargets}</h3>
          <ul className={styles.list}>
            {targets.map(({ target, refused }) => (
              <li key={target.id}>
                <button
                  type="button"
                  aria-disabled={refused !== null}
                  className={styles.target}
                  onClick={() => (refused === null ? connect(target.id) : undefined)}
                >
                  <span>{nameOf(target)}</span>
                  {refused ? <span className={styles.reason}>{refused}</span> : null}
                </button>
              </li>
            ))}
          </ul>
        </section>
      ) : (
        <p>{editorTexts.connectNothing}</p>
      )}
      {cases.length ? (
        <Choice
          label={editorTexts.connectCase}
          value={chosen}
          onChange={setChosen}
          options={[...cases, ALWAYS].map((name) => ({
            value: name,
            label: name === ALWAYS ? editorTexts.connectAlways : name,
          }))}
        />
      ) : null}
      {edges.length ? (
        <section className={styles.part} aria-label={editorTexts.connectedTo}>
          <h3>{editorTexts.connectedTo}</h3>
          <ul className={styles.list}>
            {edges.map((edge) => (
              <li key={edgeKey(edge)} className={styles.edge}>
                <span>{nameOfId(edge.target)}</span>
                {edge.case === undefined ? null : (
                  <span className={styles.reason}>{editorTexts.onlyIf(edge.case)}</span>
                )}
                <IconButton
                  label={editorTexts.disconnect(nameOfId(edge.target))}
                  onClick={() => commands.disconnect(edgeKey(edge))}
                >
                  <Link2Off size={16} aria-hidden />
                </IconButton>
              </li>
            ))}
          </ul>
        </section>
      ) : null}
    </Dialog>
  );
}
