import { Link } from "@tanstack/react-router";
import type { components } from "../../api/schema";
import { deploymentTexts } from "../../strings/deployments";
import { Status } from "../../ui/status";
import { Table } from "../../ui/table";
import styles from "./deployment.module.css";

type Rehearsal = components["schemas"]["RehearsalOut"];
type Difference = Rehearsal["different"][number];
type Failure = Rehearsal["failed"][number];

const SHOWN_CHARACTERS = 8;

/** How many answers are equal, which differ and where, and which inputs have none. */
export function RehearsalResults({ rehearsal }: { rehearsal: Rehearsal }) {
  const { equal, differing, different, failed, state } = rehearsal;
  return (
    <>
      <p className={styles.counts} role={state === "running" ? undefined : "status"}>
        <Status state="completed">{deploymentTexts.rehearsal.equal(equal)}</Status>
        <Status state={differing ? "changed" : "completed"}>
          {deploymentTexts.rehearsal.different(differing)}
        </Status>
        <Status state={failed.length ? "failed" : "completed"}>
          {deploymentTexts.rehearsal.failed(failed.length)}
        </Status>
      </p>
      {different.length ? (
        <Table
          label={deploymentTexts.rehearsal.differences}
          rows={different}
          columns={DIFFERENCES}
          keyOf={({ run_id, pointer }) => `${run_id} ${pointer}`}
        />
      ) : null}
      {failed.length ? (
        <Table
          label={deploymentTexts.rehearsal.failures}
          rows={failed}
          columns={FAILURES}
          keyOf={({ run_id }) => run_id}
        />
      ) : null}
      {different.length ? <p className={styles.hint}>{deploymentTexts.rehearsal.tolerance}</p> : null}
    </>
  );
}

const DIFFERENCES = [
  {
    title: deploymentTexts.rehearsal.run,
    cell: (one: Difference) => <Runs runId={one.run_id} testId={one.test_run_id} />,
  },
  {
    title: deploymentTexts.rehearsal.where,
    cell: ({ pointer }: Difference) => <code className={styles.value}>{pointer || "/"}</code>,
  },
  { title: deploymentTexts.rehearsal.live, cell: ({ live }: Difference) => <Value text={live} /> },
  { title: deploymentTexts.rehearsal.draft, cell: ({ draft }: Difference) => <Value text={draft} /> },
];

const FAILURES = [
  {
    title: deploymentTexts.rehearsal.run,
    cell: (one: Failure) => <Runs runId={one.run_id} testId={one.test_run_id} />,
  },
  {
    title: deploymentTexts.rehearsal.reason,
    cell: ({ code, detail }: Failure) => (
      <>
        <Status state="failed">{code}</Status>
        <p className={styles.value}>{detail}</p>
      </>
    ),
  },
];

/** The run whose input was used, and the test of the draft. */
function Runs({ runId, testId }: { runId: string; testId: string | null }) {
  return (
    <span className={styles.runs}>
      <Link
        to="/runs/$runId"
        params={{ runId }}
        aria-label={deploymentTexts.rehearsal.openRun(shortOf(runId))}
      >
        <code>{shortOf(runId)}</code>
      </Link>
      {testId === null ? null : (
        <Link
          to="/runs/$runId"
          params={{ runId: testId }}
          aria-label={deploymentTexts.rehearsal.openTest(shortOf(testId))}
        >
          {deploymentTexts.rehearsal.test}
        </Link>
      )}
    </span>
  );
}

function Value({ text }: { text: string | null }) {
  return text === null ? deploymentTexts.rehearsal.absent : <code className={styles.value}>{text}</code>;
}

function shortOf(runId: string): string {
  return runId.slice(-SHOWN_CHARACTERS);
}
