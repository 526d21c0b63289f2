import { Link } from "@tanstack/react-router";
import { ProblemError } from "../../api/problem";
import { Time } from "../../formats/time";
import { t } from "../../strings";
import { flowTexts } from "../../strings/flows";
import { GuardedButton } from "../../ui/button";
import { Loaded } from "../../ui/loading";
import { ErrorNotice, Notice } from "../../ui/notice";
import { Section } from "../../ui/page";
import { Status } from "../../ui/status";
import { LazyFlowGraph } from "../editor/lazy-flow-graph";
import type { Mark } from "../editor/marks";
import { edgesOf, nodesOf } from "../flows/flow-nodes";
import { NodeTable } from "../flows/node-table";
import { ChangeList } from "./change-list";
import { type GraphChange, graphChanges } from "./graph-changes";
import styles from "./history.module.css";
import { authorOf, type Revision, usePresent, useRestore, useRevision } from "./queries";

interface RevisionDetailsProps {
  flowId: string;
  number: number;
  revisions: readonly Revision[];
}

/** One revision: what was changed in it, what a restore would change, and its graph. */
export function RevisionDetails({ flowId, number, revisions }: RevisionDetailsProps) {
  const at = revisions.findIndex((revision) => revision.number === number);
  const revision = revisions[at];
  return (
    <div className={styles.stack}>
      <Link to="/flows/$flowId/history" params={{ flowId }}>
        {flowTexts.history.back}
      </Link>
      {revision ? (
        <Details flowId={flowId} revision={revision} before={revisions[at + 1]} isPresent={at === 0} />
      ) : (
        <Notice kind="bad" title={flowTexts.history.gone(number)} />
      )}
    </div>
  );
}

interface DetailsProps {
  flowId: string;
  revision: Revision;
  before: Revision | undefined;
  isPresent: boolean;
}

function Details({ flowId, revision, before, isPresent }: DetailsProps) {
  const shown = useRevision(flowId, revision);
  const earlier = useRevision(flowId, before);
  const present = usePresent(flowId);
  const restore = useRestore(flowId);
  const restored = shown.data && present.data ? graphChanges(present.data.value, shown.data) : null;
  const changes = shown.data && earlier.data ? graphChanges(earlier.data, shown.data) : [];
  const send = () => {
    if (!shown.data || !present.data || restore.isPending) return;
    restore.mutate({
      flow: shown.data,
      present: present.data,
      done: flowTexts.history.restored(revision.number),
    });
  };
  return (
    <>
      <div className={styles.facts}>
        <strong>{flowTexts.history.number(revision.number)}</strong>
        {isPresent ? <Status state="draft">{flowTexts.history.present}</Status> : null}
        {revision.name ? <span>{revision.name}</span> : null}
        <span>{authorOf(revision)}</span>
        <Time iso={revision.saved_at} />
        <GuardedButton
          look="primary"
          reason={restored?.length === 0 ? flowTexts.history.same : null}
          disabled={restored === null || restore.isPending}
          onClick={send}
        >
          {flowTexts.history.restore}
        </GuardedButton>
      </div>
      {restore.error ? <NotRestored error={restore.error} /> : null}
      <Loaded query={shown} rows={8}>
        {(flow) => (
          <>
            <div className={styles.compared}>
              {before ? (
                <Section title={flowTexts.history.since(before.number)}>
                  <Loaded query={earlier} rows={1}>
                    {() => <ChangeList changes={changes} />}
                  </Loaded>
                </Section>
              ) : null}
              {isPresent ? null : (
                <Section title={flowTexts.history.restores}>
                  <Loaded query={present} rows={1}>
                    {() => <ChangeList changes={restored ?? []} />}
                  </Loaded>
                </Section>
              )}
            </div>
            <Section title={flowTexts.history.graph}>
              <LazyFlowGraph
                label={flowTexts.history.graph}
                graph={{ name: flow.name, nodes: nodesOf(flow), edges: edgesOf(flow) }}
                marks={marksOf(changes)}
              />
              <NodeTable flow={flow} />
            </Section>
          </>
        )}
      </Loaded>
    </>
  );
}

/** Why a state was not restored; if others have saved the draft meanwhile, what to do. */
export function NotRestored({ error }: { error: unknown }) {
  if (!(error instanceof ProblemError && error.problem.status === 412)) return <ErrorNotice error={error} />;
  return (
    <Notice kind="bad" title={t.errors.changedMeanwhile}>
      <p>{flowTexts.history.changed}</p>
    </Notice>
  );
}

function marksOf(changes: readonly GraphChange[]): Map<string, Mark> {
  const marks = new Map<string, Mark>();
  for (const { node, kind } of changes) {
    if (node === null || kind === "other") continue;
    const text = flowTexts.history.marks[kind];
    marks.set(node, { lines: [{ state: "draft", text, spoken: text }], tone: undefined, text });
  }
  return marks;
}
