import { useState } from "react";
import { bodyOf, useChange } from "../../api/change";
import { api, hooks } from "../../api/client";
import { usePolling } from "../../api/polling";
import type { components } from "../../api/schema";
import { count, duration } from "../../formats/formats";
import { Time, TimeLeft } from "../../formats/time";
import { t } from "../../strings";
import { rolloutTexts } from "../../strings/rollouts";
import { useAction } from "../../ui/action";
import { Button } from "../../ui/button";
import { CodeBlock } from "../../ui/copy";
import { Field, TextInput } from "../../ui/field";
import { ErrorNotice } from "../../ui/notice";
import { Section } from "../../ui/page";
import { type State, Status } from "../../ui/status";
import { Table } from "../../ui/table";
import { toast } from "../../ui/toast";
import { isWeight, mostWeight, type Rollout } from "./rollout-form";
import styles from "./rollouts.module.css";

type Calls = components["schemas"]["CallsOut"];

/** Counts change with each call, of which the stream of changes says nothing. */
const REFRESH_MILLISECONDS = 2000;
const DEPLOYMENTS = "/node/deployments/";
const PATH = "/node/deployments/{deployment_id}/rollout/";

interface RolloutProps {
  deploymentId: string;
  rollout: Rollout;
  /** Asks whether the version is to go live. */
  onPromote: (version: number) => void;
}

/** The version that is, or was last, tried beside the live one: how both do, and what can be done. */
export function RolloutPart({ deploymentId, rollout, onPromote }: RolloutProps) {
  const params = { path: { deployment_id: deploymentId } };
  const polling = usePolling<Rollout>((known) => (known?.state === "running" ? REFRESH_MILLISECONDS : false));
  const latest = hooks.useQuery("get", PATH, { params }, { refetchInterval: polling });
  // Of another rollout it may be what was read before.
  const shown = latest.data?.started_at === rollout.started_at ? latest.data : rollout;
  const { strategy, state, candidate, baseline, reason, compared, different, example } = shown;
  return (
    <Section title={rolloutTexts.heading[strategy](candidate, baseline)}>
      <div className={styles.part}>
        <div className={styles.facts}>
          <Status state={stateOf(shown)}>{rolloutTexts.states[state]}</Status>
          {reason ? <span>{reason}</span> : null}
          <span>
            {rolloutTexts.started} <Time iso={shown.started_at} />
          </span>
          {shown.ended_at ? (
            <span>
              {rolloutTexts.ended} <Time iso={shown.ended_at} />
            </span>
          ) : (
            <PromotesItself rollout={shown} />
          )}
        </div>
        <Table
          label={rolloutTexts.calls}
          rows={rowsOf(shown)}
          keyOf={({ version }) => String(version)}
          columns={COLUMNS}
        />
        {compared ? <p>{rolloutTexts.compared(count(different), count(compared))}</p> : null}
        {example ? <CodeBlock label={rolloutTexts.example} code={example} /> : null}
        {state === "running" ? (
          <RolloutActions
            key={`${shown.started_at} ${shown.weight}`}
            deploymentId={deploymentId}
            rollout={shown}
            onPromote={onPromote}
          />
        ) : null}
      </div>
    </Section>
  );
}

function stateOf({ state, cause }: Rollout): State {
  if (state === "running") return "running";
  if (state === "promoted") return "completed";
  return cause ? "failed" : "cancelled";
}

function PromotesItself({ rollout }: { rollout: Rollout }) {
  const { promote_after_seconds: seconds, started_at } = rollout;
  if (seconds === null) return null;
  const end = Date.parse(started_at) + seconds * 1000;
  return (
    <span>
      {rolloutTexts.promotesItself} <TimeLeft iso={new Date(end).toISOString()} />
    </span>
  );
}

interface Row {
  version: number;
  share: string;
  calls: Calls;
}

function rowsOf({ strategy, weight, state, baseline, candidate, ...calls }: Rollout): Row[] {
  const isCanary = strategy === "canary";
  const shares = isCanary
    ? [rolloutTexts.percent(100 - weight), rolloutTexts.percent(weight)]
    : [rolloutTexts.percent(100), rolloutTexts.copies(weight)];
  const [live, tried] = state === "running" ? shares : [t.common.unknown, t.common.unknown];
  return [
    { version: baseline, share: live ?? "", calls: calls.baseline_calls },
    { version: candidate, share: tried ?? "", calls: calls.candidate_calls },
  ];
}

const COLUMNS = [
  { title: rolloutTexts.version, cell: ({ version }: Row) => rolloutTexts.number(version) },
  { title: rolloutTexts.share, cell: ({ share }: Row) => share },
  { title: rolloutTexts.answered, cell: ({ calls }: Row) => count(calls.answered) },
  { title: rolloutTexts.failed, cell: ({ calls }: Row) => failedOf(calls) },
  { title: rolloutTexts.p50, cell: ({ calls }: Row) => milliseconds(calls.p50_ms) },
  { title: rolloutTexts.p90, cell: ({ calls }: Row) => milliseconds(calls.p90_ms) },
];

function failedOf({ answered, failed }: Calls): string {
  if (!failed) return "0";
  return rolloutTexts.failedOf(count(failed), ((100 * failed) / answered).toFixed(1));
}

function milliseconds(value: number | null): string {
  return value === null ? t.common.unknown : duration(value / 1000);
}

function RolloutActions({ deploymentId, rollout, onPromote }: RolloutProps) {
  const [weight, setWeight] = useState(String(rollout.weight));
  const params = { path: { deployment_id: deploymentId } };
  const { strategy, candidate, baseline } = rollout;
  const setShare = useChange(
    async (next: number) => bodyOf(await api.PATCH(PATH, { params, body: { weight: next } })),
    { reloads: [DEPLOYMENTS], onDone: ({ weight: now }) => toast(rolloutTexts.changed(now)) },
  );
  const rollBack = useAction(() => api.DELETE(PATH, { params }), {
    reloads: [DEPLOYMENTS],
    onDone: () => toast(rolloutTexts.rolledBack(baseline)),
  });
  const isRight = isWeight(weight, strategy);
  const isHeld = !isRight || Number(weight) === rollout.weight || setShare.isPending;
  return (
    <>
      <div className={styles.actions}>
        <Field
          label={rolloutTexts.weight}
          error={isRight ? undefined : rolloutTexts.weightWrong(mostWeight(strategy))}
        >
          <TextInput inputMode="numeric" value={weight} onValueChange={setWeight} />
        </Field>
        <Button disabled={isHeld} onClick={() => setShare.mutate(Number(weight))}>
          {rolloutTexts.change}
        </Button>
        <Button onClick={() => onPromote(candidate)}>{rolloutTexts.promote(candidate)}</Button>
        <Button look="danger" onClick={rollBack}>
          {rolloutTexts.rollBack}
        </Button>
      </div>
      {setShare.error ? <ErrorNotice error={setShare.error} /> : null}
    </>
  );
}
