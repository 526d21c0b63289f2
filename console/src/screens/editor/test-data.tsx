import { getRouteApi, Link } from "@tanstack/react-router";
import { Pin } from "lucide-react";
import { useId, useState } from "react";
import { useStore } from "zustand";
import { api } from "../../api/client";
import { ProblemError } from "../../api/problem";
import { duration, shortId } from "../../formats/formats";
import { editorTexts } from "../../strings/editor";
import { Button, GuardedButton } from "../../ui/button";
import fieldStyles from "../../ui/field.module.css";
import { errorMessage } from "../../ui/notice";
import { Status } from "../../ui/status";
import { toast } from "../../ui/toast";
import { loadRun } from "../runs/run-queries";
import { stateOf } from "../runs/run-status";
import { useDraft, useEditor } from "./editor-context";
import { inputNode, readInput, type TestRun } from "./flow-tests";
import { sampleOf } from "./sample-input";
import styles from "./test-data.module.css";
import { TriedRun } from "./tried-run";

const route = getRouteApi("/app/flows/$flowId/edit");
const words = editorTexts.test;
/** Of these the newest whose input was kept is taken. */
const LAST_RUNS = 20;

/** What tests are given, what they skip, and how the last one ended. */
export function TestData() {
  const { session } = useEditor();
  const { text, pins, run, refusal } = useStore(session.tests.store);
  const id = useId();
  const hasInput = inputNode(useDraft()) !== undefined;
  const { error, note } = readInput(text);
  return (
    <section className={styles.line} aria-label={words.data}>
      <div className={styles.data}>
        <label htmlFor={id} className={styles.label}>
          {words.data}
        </label>
        {hasInput ? (
          <textarea
            id={id}
            className={`${fieldStyles.input} ${styles.input}`}
            rows={1}
            value={text}
            placeholder="{}"
            spellCheck={false}
            aria-invalid={error !== null}
            aria-describedby={`${id}-problem`}
            onChange={(event) => session.tests.type(event.target.value)}
          />
        ) : (
          <span className={styles.faint}>{words.noInput}</span>
        )}
        {hasInput ? <Sources /> : null}
        <Pinned pins={pins} />
      </div>
      <div id={`${id}-problem`} className={styles.problems}>
        {hasInput && error !== null ? <span className={fieldStyles.error}>{error}</span> : null}
        {hasInput && note !== null ? <span className={fieldStyles.hint}>{note}</span> : null}
        <TriedRun />
        <Refusal error={refusal} />
        <p role="status">{run ? <Result run={run} /> : null}</p>
      </div>
    </section>
  );
}

/** Where test data can be taken from. */
function Sources() {
  const { session, check } = useEditor();
  const { tests, flowId } = session;
  const inputOf = useStore(tests.store, (state) => state.inputOf);
  const navigate = route.useNavigate();
  const [isSearching, setSearching] = useState(false);
  const sample = () => {
    const value = sampleOf(check.inputSchema);
    if (value === undefined) toast(words.tooLarge);
    else tests.fill(value);
  };
  const borrowLast = async () => {
    setSearching(true);
    const before = tests.store.getState();
    try {
      const found = await lastRun(flowId);
      const now = tests.store.getState();
      const isUntouched = now.text === before.text && now.inputOf === before.inputOf;
      if (!found) toast(words.noLastRun);
      else if (isUntouched) tests.borrow(found);
    } catch (error) {
      toast(errorMessage(error));
    } finally {
      setSearching(false);
    }
  };
  const back = () => {
    tests.returnInput();
    void navigate({ search: ({ run: _, ...others }) => others, replace: true });
  };
  return (
    <>
      <GuardedButton
        look="quiet"
        reason={check.inputSchema === null ? words.noSignature : null}
        onClick={sample}
      >
        {words.fromSignature}
      </GuardedButton>
      <Button look="quiet" disabled={isSearching} onClick={() => void borrowLast()}>
        {words.fromLastRun}
      </Button>
      {inputOf === null ? null : (
        <span className={styles.borrowed}>
          <span>
            {words.inputOf}{" "}
            <Link to="/runs/$runId" params={{ runId: inputOf }}>
              {shortId(inputOf)}
            </Link>
            {`, ${words.notSaved}`}
          </span>
          <Button look="quiet" onClick={() => tests.keepInput()}>
            {words.keep}
          </Button>
          <Button look="quiet" onClick={back}>
            {words.back}
          </Button>
        </span>
      )}
    </>
  );
}

function Pinned({ pins }: { pins: ReadonlyMap<string, unknown> }) {
  const { tests } = useEditor().session;
  if (pins.size === 0) return <span className={styles.faint}>{words.pinnedNone}</span>;
  return (
    <span className={styles.pins}>
      {words.pinned}
      {[...pins.keys()].map((node) => (
        <Button key={node} look="quiet" title={words.unpin(node)} onClick={() => tests.unpin(node)}>
          <Pin size={12} aria-hidden />
          {node}
        </Button>
      ))}
    </span>
  );
}

/** Return the last run of a flow whose input was kept; null: there is none among the newest. */
async function lastRun(flow: string) {
  const { data } = await api.GET("/node/flow-runs/", { params: { query: { flow, limit: LAST_RUNS } } });
  for (const run of data?.items ?? []) {
    if (run.execution_mode === "fast") continue;
    const found = await loadRun(run.flow_run_id);
    if (found.input !== null) return found;
  }
  return null;
}

/** Why the gateway has started no test, by field where it says so. */
function Refusal({ error }: { error: unknown }) {
  if (error === null) return null;
  const problem = error instanceof ProblemError ? error.problem : null;
  const errors = problem?.errors ?? [];
  const needsPins = errors.some(({ pointer }) => pointer === "#/pins");
  return (
    <div role="alert" className={styles.refusal}>
      <Status state="failed">{problem?.title ?? words.refused}</Status>
      {errors.length ? (
        <ul>
          {errors.map(({ pointer, detail }) => (
            <li key={`${pointer} ${detail}`}>
              <code>{words.field(pointer)}</code> {detail}
            </li>
          ))}
        </ul>
      ) : (
        <span>{errorMessage(error)}</span>
      )}
      {needsPins ? <span>{words.needsPins}</span> : null}
    </div>
  );
}

/** How far the test is, or how it ended. */
function Result({ run: { id, status, error, seconds } }: { run: TestRun }) {
  const text = words.statuses[status] ?? status;
  const where = error?.node_id ? words.at(text, error.node_id) : text;
  return (
    <span className={styles.result}>
      <Status state={stateOf(status)}>
        <span>{seconds === null ? where : words.took(where, duration(seconds))}</span>
      </Status>
      {error ? <span>{error.message}</span> : null}
      {id === null ? null : (
        <Link to="/runs/$runId" params={{ runId: id }}>
          {words.open(shortId(id))}
        </Link>
      )}
    </span>
  );
}
