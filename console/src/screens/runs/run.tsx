import { useMutation, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { duration, shortId } from "../../formats/formats";
import { Time } from "../../formats/time";
import { deploymentTexts } from "../../strings/deployments";
import { runTexts } from "../../strings/runs";
import { Button, ButtonLink, GuardedButton } from "../../ui/button";
import { Id } from "../../ui/copy";
import { Field } from "../../ui/field";
import { Loaded } from "../../ui/loading";
import { ErrorNotice, Notice } from "../../ui/notice";
import { Page, Section } from "../../ui/page";
import { Select } from "../../ui/select";
import { keyName } from "./run-cells";
import { cancelRun, type RetriedVersion, retryRun } from "./run-changes";
import { type RunDocument, runKeys, runQueries, useRun } from "./run-queries";
import { isUnfinished, mayRetry, RunStatus } from "./run-status";
import { RunTimeline } from "./run-timeline";
import { RunValues } from "./run-values";
import styles from "./runs.module.css";
import { useRunEvents } from "./use-run-events";

/** A test of a flow that was not saved has no flow. */
const NO_ID = "00000000-0000-0000-0000-000000000000";

const route = getRouteApi("/app/runs/$runId");

export function RunScreen() {
  const { runId } = route.useParams();
  const run = useRun(runId);
  const ended = run.data?.facts.finished_at != null;
  useRunEvents(runId, run.data !== undefined && !ended);
  return <Loaded query={run}>{(document) => <RunPage key={runId} document={document} />}</Loaded>;
}

function RunPage({ document }: { document: RunDocument }) {
  const { facts } = document;
  const { span } = route.useSearch();
  const navigate = route.useNavigate();
  const { error } = facts;
  return (
    <Page
      title={runTexts.runs.one.title(shortId(facts.flow_run_id))}
      area={runTexts.runs.title}
      isRunning={isUnfinished(facts.status)}
      facts={<Facts facts={facts} />}
      actions={<RunActions document={document} />}
    >
      {error ? (
        <Notice kind="bad" title={failure(facts)}>
          <p>{error.message}</p>
          <p>
            <code>{error.code}</code>
          </p>
        </Notice>
      ) : null}
      <Section title={runTexts.runs.one.timeline}>
        <RunTimeline
          document={document}
          chosen={span ?? null}
          onChoose={(id) => void navigate({ search: { span: id }, replace: true })}
        />
      </Section>
      <Section title={runTexts.runs.one.values}>
        <RunValues document={document} />
      </Section>
    </Page>
  );
}

type RunFacts = RunDocument["facts"];

function whyUntried({ execution_mode, status }: RunFacts): string {
  if (isUnfinished(status)) return runTexts.runs.one.notEnded;
  return execution_mode === "fast" ? runTexts.runs.one.noInput : runTexts.runs.one.inputGone;
}

function failure({ status, error }: RunFacts): string {
  const word = runTexts.runs.statuses[status] ?? status;
  return error?.node_id ? runTexts.runs.one.failedAt(word, error.node_id) : word;
}

function Facts({ facts }: { facts: RunFacts }) {
  const words = runTexts.runs.one;
  const name = facts.deployment_name ?? shortId(facts.deployment_id);
  const key = { api_key_id: facts.api_key_id, api_key_name: facts.api_key_name ?? null };
  return (
    <>
      <RunStatus status={facts.status} />
      {facts.test ? (
        <span>{runTexts.runs.test}</span>
      ) : (
        <Link to="/deployments/$deploymentId/runs" params={{ deploymentId: facts.deployment_id }}>
          {runTexts.runs.version(name, facts.deployment_version)}
        </Link>
      )}
      <span>{deploymentTexts.deployments.kindOf(facts.execution_mode, facts.deployment_type)}</span>
      {facts.attempt > 1 ? <span>{words.attempt(facts.attempt)}</span> : null}
      {facts.duration_seconds === null ? null : <span>{duration(facts.duration_seconds)}</span>}
      <span>{keyName(key)}</span>
      <Time iso={facts.created_at} />
      <Id id={facts.flow_run_id} />
      {facts.request_id ? (
        <span>
          {words.request} <Id id={facts.request_id} />
        </span>
      ) : null}
      {facts.retry_of ? (
        <span>
          {words.retryOf}{" "}
          <Link to="/runs/$runId" params={{ runId: facts.retry_of }}>
            {shortId(facts.retry_of)}
          </Link>
        </span>
      ) : null}
    </>
  );
}

function RunActions({ document: { facts, input } }: { document: RunDocument }) {
  const id = facts.flow_run_id;
  const queries = useQueryClient();
  const navigate = useNavigate();
  const [version, setVersion] = useState<RetriedVersion>("same");
  const cancel = useMutation({
    mutationFn: () => cancelRun(id),
    onSettled: () => queries.invalidateQueries(runQueries),
  });
  const retry = useMutation({
    mutationFn: () => retryRun(id, version),
    onSuccess: () => void queries.invalidateQueries({ queryKey: runKeys.lists }),
  });
  const sendAgain = () =>
    retry.mutate(undefined, {
      onSuccess: (made) => void navigate({ to: "/runs/$runId", params: { runId: made } }),
    });
  const error = cancel.error ?? retry.error;
  return (
    <div className={styles.actions}>
      {isUnfinished(facts.status) ? (
        <Button disabled={cancel.isPending} onClick={() => cancel.mutate()}>
          {runTexts.runs.one.cancel}
        </Button>
      ) : null}
      {facts.flow_id === NO_ID ? null : input === null ? (
        <GuardedButton reason={whyUntried(facts)}>{runTexts.runs.one.try}</GuardedButton>
      ) : (
        <ButtonLink
          to="/flows/$flowId/edit"
          params={{ flowId: facts.flow_id }}
          search={{ run: id, ...(facts.error?.node_id ? { node: facts.error.node_id } : {}) }}
        >
          {runTexts.runs.one.try}
        </ButtonLink>
      )}
      {mayRetry(facts) ? (
        <>
          <Field label={runTexts.runs.one.retryWith}>
            <Select
              value={version}
              options={[
                { value: "same", label: runTexts.runs.one.same(facts.deployment_version) },
                { value: "latest", label: runTexts.runs.one.live },
              ]}
              onChange={(value) => setVersion(value as RetriedVersion)}
            />
          </Field>
          <Button look="primary" disabled={retry.isPending} onClick={sendAgain}>
            {runTexts.runs.one.retry}
          </Button>
        </>
      ) : null}
      {error ? <ErrorNotice error={error} /> : null}
    </div>
  );
}
