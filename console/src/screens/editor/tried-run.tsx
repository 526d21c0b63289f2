import { getRouteApi } from "@tanstack/react-router";
import { useEffect } from "react";
import { hooks } from "../../api/client";
import { shortId } from "../../formats/formats";
import { isSame } from "../../formats/same";
import { editorTexts } from "../../strings/editor";
import { runTexts } from "../../strings/runs";
import fieldStyles from "../../ui/field.module.css";
import { errorMessage } from "../../ui/notice";
import { edgesOf, nodesOf } from "../flows/flow-nodes";
import { type RunDocument, useRun } from "../runs/run-queries";
import { withoutPositions } from "./check";
import { useDraft, useEditor } from "./editor-context";
import styles from "./test-data.module.css";

const route = getRouteApi("/app/flows/$flowId/edit");
const words = editorTexts.test;

/** The run that the address names is taken over for tests; the line says whether the draft is another flow. */
export function TriedRun() {
  const { run } = route.useSearch();
  return run === undefined ? null : <Tried runId={run} />;
}

function Tried({ runId }: { runId: string }) {
  const { tests, flowId } = useEditor().session;
  const { data, error } = useRun(runId);
  const isOther = data !== undefined && data.facts.flow_id !== flowId;
  useEffect(() => {
    if (data && !isOther) tests.tryRun(data);
  }, [data, isOther, tests]);
  if (error) return <span className={fieldStyles.error}>{errorMessage(error)}</span>;
  if (isOther) return <span className={fieldStyles.error}>{words.otherFlow}</span>;
  return data && !data.facts.test ? <Difference facts={data.facts} /> : null;
}

function Difference({ facts }: { facts: RunDocument["facts"] }) {
  const draft = useDraft();
  const path = { deployment_id: facts.deployment_id, number: facts.deployment_version };
  const version = hooks.useQuery(
    "get",
    "/node/deployments/{deployment_id}/versions/{number}/",
    { params: { path } },
    { retry: false, staleTime: Number.POSITIVE_INFINITY },
  );
  if (version.error) return <span className={styles.differs}>{words.versionGone}</span>;
  if (!version.data) return null;
  const used = { name: draft.name, nodes: nodesOf(version.data), edges: edgesOf(version.data) };
  if (isSame(withoutPositions(used), withoutPositions(draft))) return null;
  const name = facts.deployment_name ?? shortId(facts.deployment_id);
  return (
    <span className={styles.differs}>
      {words.differs(runTexts.runs.version(name, facts.deployment_version))}
    </span>
  );
}
