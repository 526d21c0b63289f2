import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useState } from "react";
import { t } from "../../strings";
import { runListTexts } from "../../strings/run-list";
import { AsCurl } from "../../ui/as-curl";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { type BulkProgress, cancelRun, retryRun, useBulkChange } from "./run-changes";
import type { RunSummary } from "./run-pages";
import { runQueries } from "./run-queries";
import { isUnfinished, mayRetry } from "./run-status";
import styles from "./runs.module.css";

const words = runListTexts.bulk;

interface BulkBarProps {
  /** Those that are selected. */
  runs: readonly RunSummary[];
  onDone: () => void;
}

/** What can be done with the selected runs, and how far it is. */
export function BulkBar({ runs, onDone }: BulkBarProps) {
  const queries = useQueryClient();
  const [isAsking, setAsking] = useState(false);
  const reload = useCallback(() => {
    onDone();
    void queries.invalidateQueries({ ...runQueries, refetchType: "active" });
  }, [queries, onDone]);
  const { progress, start, stop, clear } = useBulkChange(reload);
  const toCancel = runs.filter((run) => isUnfinished(run.status)).map((run) => run.flow_run_id);
  const toRetry = runs.filter(mayRetry).map((run) => run.flow_run_id);
  const cancelAll = () => {
    setAsking(false);
    void start(toCancel, cancelRun);
  };
  if (progress) return <Progress progress={progress} onStop={stop} onClose={clear} />;
  if (runs.length === 0) return null;
  return (
    <section className={styles.bulk} aria-label={words.label}>
      <span>{words.selected(runs.length)}</span>
      <Button disabled={toCancel.length === 0} onClick={() => setAsking(true)}>
        {words.cancel}
      </Button>
      <Button
        disabled={toRetry.length === 0}
        onClick={() => void start(toRetry, (id) => retryRun(id, "same"))}
      >
        {words.retry}
      </Button>
      <Button
        disabled={toRetry.length === 0}
        onClick={() => void start(toRetry, (id) => retryRun(id, "latest"))}
      >
        {words.retryLive}
      </Button>
      <Button look="quiet" onClick={onDone}>
        {words.none}
      </Button>
      {isAsking ? (
        <Dialog
          title={words.ask(toCancel.length)}
          narrow
          onClose={() => setAsking(false)}
          footer={
            <>
              <Button onClick={() => setAsking(false)}>{words.keep}</Button>
              <Button look="danger" onClick={cancelAll}>
                {words.cancel}
              </Button>
            </>
          }
        >
          <p>{words.askText}</p>
          <AsCurl calls={toCancel.map((id) => ({ method: "POST", path: `/node/flow-runs/${id}/cancel/` }))} />
        </Dialog>
      ) : null}
    </section>
  );
}

interface ProgressProps {
  progress: BulkProgress;
  onStop: () => void;
  onClose: () => void;
}

function Progress({ progress, onStop, onClose }: ProgressProps) {
  const { all, done, refused, isRunning } = progress;
  const left = all - done - refused;
  const result = left
    ? `${words.result(done, refused)}, ${words.stopped(left)}`
    : words.result(done, refused);
  return (
    <section className={styles.bulk} aria-label={words.label}>
      <progress className={styles.progress} aria-label={words.label} max={all} value={done + refused} />
      <span role="status">{isRunning ? words.progress(done + refused, all) : result}</span>
      {isRunning ? (
        <Button onClick={onStop}>{words.stop}</Button>
      ) : (
        <Button onClick={onClose}>{t.common.close}</Button>
      )}
    </section>
  );
}
