import { Link } from "@tanstack/react-router";
import { Pin, PinOff, Play, StepForward } from "lucide-react";
import { useStore } from "zustand";
import { duration, shortId } from "../../formats/formats";
import { editorTexts } from "../../strings/editor";
import { runTexts } from "../../strings/runs";
import { Button, GuardedButton } from "../../ui/button";
import { JsonView } from "../../ui/json-view";
import { Notice } from "../../ui/notice";
import { Status } from "../../ui/status";
import type { FlowNode } from "../flows/flow-nodes";
import { isUnfinished, stateOf } from "../runs/run-status";
import { useDraft, useEditor } from "./editor-context";
import styles from "./node-panel.module.css";
import { reachableNodes } from "./test-plan";
import { knownOutput, type NodeResult } from "./test-results";

const words = editorTexts.output;

/** What a node gave in the last run that was tested or tried, and tests of a part of the flow. */
export function NodeOutput({ node: { id, type } }: { node: FlowNode }) {
  const { tests } = useEditor().session;
  const result = useStore(tests.store, ({ results }) => results.get(id));
  const pinned = useStore(tests.store, ({ pins }) => pins.get(id));
  return (
    <>
      <Actions id={id} isInput={type === "api_input"} result={result} isPinned={pinned !== undefined} />
      {pinned === undefined ? null : (
        <>
          <p>{words.pinned}</p>
          <JsonView label={words.pinnedValue} value={pinned} filename={`${id}-pinned.json`} />
        </>
      )}
      {result ? (
        <Result id={id} result={result} isPinned={pinned !== undefined} />
      ) : (
        <p className={styles.description}>{words.none}</p>
      )}
    </>
  );
}

interface PartProps {
  id: string;
  isPinned: boolean;
}

interface ActionsProps extends PartProps {
  isInput: boolean;
  result: NodeResult | undefined;
}

function Actions({ id, isInput, result, isPinned }: ActionsProps) {
  const { tests, isReadOnly } = useEditor().session;
  const run = useStore(tests.store, (state) => state.run);
  const isReachable = reachableNodes(useDraft()).has(id);
  const value = isInput ? undefined : knownOutput(result);
  const reason = isReadOnly
    ? editorTexts.readOnlyReason
    : isReachable
      ? run && isUnfinished(run.status)
        ? (editorTexts.test.statuses[run.status] ?? null)
        : null
      : words.unreachable;
  const unpinned = () => tests.unpin(id);
  /** A node that is to run is not skipped. */
  const start = (part: { only: string } | { until: string }) => {
    tests.unpin(id);
    void tests.start(part);
  };
  return (
    <div className={styles.actions}>
      <GuardedButton reason={reason} onClick={() => start({ only: id })}>
        <Play size={14} aria-hidden />
        {words.only}
      </GuardedButton>
      <GuardedButton reason={reason} onClick={() => start({ until: id })}>
        <StepForward size={14} aria-hidden />
        {words.until}
      </GuardedButton>
      {isPinned ? (
        <Button onClick={unpinned}>
          <PinOff size={14} aria-hidden />
          {editorTexts.test.unpinned}
        </Button>
      ) : (
        <GuardedButton
          reason={isInput ? words.isInput : value === undefined ? words.noPin : null}
          onClick={() => (value === undefined ? undefined : tests.pin(id, value))}
        >
          <Pin size={14} aria-hidden />
          {words.pin}
        </GuardedButton>
      )}
    </div>
  );
}

function Result({ id, result, isPinned }: PartProps & { result: NodeResult }) {
  const { runId, status, seconds, output, error } = result;
  const hasOutput = output !== undefined && !(output === null && status !== "completed");
  return (
    <>
      <p className={styles.result}>
        <Status state={stateOf(status)}>{runTexts.runs.spanStatuses[status] ?? status}</Status>
        {seconds === null || status === "skipped" ? null : <span>{duration(seconds)}</span>}
        <span>
          {words.of}{" "}
          <Link to="/runs/$runId" params={{ runId }}>
            {shortId(runId)}
          </Link>
        </span>
      </p>
      {error ? (
        <Notice kind="bad" title={error.message}>
          <p>
            <code>{error.code}</code>
          </p>
        </Notice>
      ) : null}
      {status === "skipped" ? <p className={styles.description}>{words.skipped}</p> : null}
      {hasOutput && !isPinned ? (
        <JsonView label={words.value} value={output} filename={`${id}-output.json`} />
      ) : null}
      {hasOutput || status !== "completed" ? null : <p>{words.nothing}</p>}
    </>
  );
}
