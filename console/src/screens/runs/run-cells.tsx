import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { duration, shortId } from "../../formats/formats";
import { Time } from "../../formats/time";
import { t } from "../../strings";
import { runTexts } from "../../strings/runs";
import { GridCell, GridHeading } from "../../ui/virtual-grid";
import type { RunSummary } from "./run-pages";
import { RunStatus } from "./run-status";
import styles from "./runs.module.css";

interface RunHeaderProps {
  isAll: boolean;
  onAll: () => void;
}

export function RunHeader({ isAll, onAll }: RunHeaderProps) {
  const titles = [
    runTexts.runs.state,
    runTexts.runs.run,
    runTexts.runs.deployment,
    runTexts.runs.mode,
    runTexts.runs.duration,
    runTexts.runs.key,
  ];
  return (
    <>
      <GridHeading>
        <input
          type="checkbox"
          tabIndex={-1}
          aria-label={runTexts.runs.selectAll}
          checked={isAll}
          onChange={onAll}
        />
      </GridHeading>
      {titles.map((title) => (
        <GridHeading key={title}>{title}</GridHeading>
      ))}
      <GridHeading>{runTexts.runs.created}</GridHeading>
    </>
  );
}

interface RunCellsProps {
  run: RunSummary;
  isSelected: boolean;
  onSelect: () => void;
}

export function RunCells({ run, isSelected, onSelect }: RunCellsProps) {
  const id = run.flow_run_id;
  return (
    <>
      <Cell name="select">
        <label className={styles.tick}>
          <input
            type="checkbox"
            tabIndex={-1}
            aria-label={runTexts.runs.selectOne(id)}
            checked={isSelected}
            onChange={onSelect}
          />
        </label>
      </Cell>
      <Cell name="state">
        <RunStatus status={run.status} />
        {run.error ? <span className={styles.error}>{errorText(run.error)}</span> : null}
      </Cell>
      <Cell name="id">
        <Link to="/runs/$runId" params={{ runId: id }} tabIndex={-1} className={styles.id}>
          {shortId(id)}
        </Link>
      </Cell>
      <Cell name="deployment">
        {run.test
          ? runTexts.runs.test
          : runTexts.runs.version(run.deployment_name ?? shortId(run.deployment_id), run.deployment_version)}
      </Cell>
      <Cell name="mode">{run.execution_mode}</Cell>
      <Cell name="took">
        {run.duration_seconds === null ? t.common.unknown : duration(run.duration_seconds)}
        {run.queue_seconds ? (
          <span className={styles.queue}>{runTexts.runs.queueOf(duration(run.queue_seconds))}</span>
        ) : null}
      </Cell>
      <Cell name="key">{keyName(run)}</Cell>
      <Cell name="created">
        <Time iso={run.created_at} />
      </Cell>
    </>
  );
}

function Cell({ name, children }: { name: string; children: ReactNode }) {
  return (
    <GridCell className={styles.cell} data-cell={name}>
      {children}
    </GridCell>
  );
}

function errorText({ code, node_id }: NonNullable<RunSummary["error"]>): string {
  return node_id ? `${code} · ${node_id}` : code;
}

/** Return the name of the key that started a run. */
export function keyName({
  api_key_id,
  api_key_name,
}: Pick<RunSummary, "api_key_id" | "api_key_name">): string {
  if (api_key_id === null) return runTexts.runs.bySession;
  return api_key_name ?? runTexts.runs.deletedKey;
}
