import type { ReactNode } from "react";
import { hooks } from "../../api/client";
import { isObject, type Json } from "../../formats/lossless-json";
import { runTexts } from "../../strings/runs";
import { JsonView } from "../../ui/json-view";
import type { RunDocument, Span } from "./run-queries";
import styles from "./runs.module.css";
import { spanTime } from "./spans";

const words = runTexts.runs.span;

interface SpanDetailsProps {
  span: Span | undefined;
  document: RunDocument;
  createdAt: string;
}

/** What is known of a span: its error first, then its times, and of a node what it took and gave. */
export function SpanDetails({ span, document, createdAt }: SpanDetailsProps) {
  if (!span) return <p className={styles.details}>{words.choose}</p>;
  const { detail } = span;
  const offset =
    span.started_at === null ? null : (Date.parse(span.started_at) - Date.parse(createdAt)) / 1000;
  const seconds = secondsOf(span);
  return (
    <section className={styles.details} aria-label={words.label}>
      <header>
        <h3>{runTexts.runs.timeline.names[span.kind] ?? span.name}</h3>
        <p className={styles.meaning}>{runTexts.runs.timeline.meanings[span.kind]}</p>
      </header>
      <SpanError error={detail["error"]} />
      <dl className={styles.facts}>
        <Fact name={words.status}>{runTexts.runs.spanStatuses[span.status] ?? span.status}</Fact>
        {offset === null || span.started_at === null ? null : (
          <Fact name={words.started}>
            <time dateTime={span.started_at}>{words.after(spanTime(Math.max(offset, 0)))}</time>
          </Fact>
        )}
        {seconds === null ? null : <Fact name={words.took}>{spanTime(seconds)}</Fact>}
        <TextFact name={words.type} value={detail["type"]} />
        <TextFact name={words.attempts} value={attemptsOf(span)} />
        <TextFact name={words.answer} value={httpStatus(detail["status_code"])} />
        <TextFact name={words.delivery} value={detail["delivery_id"]} />
        {Array.isArray(detail["notes"]) ? <Fact name={words.notes}>{detail["notes"].join("; ")}</Fact> : null}
      </dl>
      {span.node_id ? <NodeValues nodeId={span.node_id} document={document} /> : null}
    </section>
  );
}

function secondsOf({ started_at, ended_at, detail }: Span): number | null {
  const known = detail["duration_seconds"];
  if (typeof known === "number") return known;
  return started_at && ended_at ? (Date.parse(ended_at) - Date.parse(started_at)) / 1000 : null;
}

/** Return how often it was tried, or which attempt it was; nothing of the first. */
function attemptsOf({ detail, attempt }: Span): unknown {
  return detail["attempts"] ?? (attempt !== null && attempt > 1 ? attempt : undefined);
}

function httpStatus(code: unknown): string | undefined {
  return typeof code === "number" ? words.httpStatus(code) : undefined;
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function TextFact({ name, value }: { name: string; value: unknown }) {
  return value === undefined || value === null ? null : <Fact name={name}>{String(value)}</Fact>;
}

function SpanError({ error }: { error: unknown }) {
  if (typeof error !== "object" || error === null) return null;
  const { code, message, docs_url } = error as { code: string; message: string; docs_url: string | null };
  return (
    <div className={styles.failure}>
      <strong>{message}</strong>
      <p>
        <code>{code}</code>{" "}
        {docs_url?.startsWith("/problems/") ? (
          <a href={docs_url} target="_blank" rel="noreferrer">
            {words.meaning}
          </a>
        ) : null}
      </p>
    </div>
  );
}

/** What a node took and gave, and how it was configured in the version that ran. */
function NodeValues({ nodeId, document }: { nodeId: string; document: RunDocument }) {
  const { deployment_id, deployment_version } = document.facts;
  const path = { deployment_id, number: deployment_version };
  // A test has no version, and those of a deleted deployment are gone: then there is only the output.
  const version = hooks.useQuery(
    "get",
    "/node/deployments/{deployment_id}/versions/{number}/",
    { params: { path } },
    { enabled: !document.facts.test, retry: false, staleTime: Number.POSITIVE_INFINITY },
  );
  const node = version.data?.nodes.find((one) => one["id"] === nodeId);
  const sources = (version.data?.edges ?? [])
    .filter((edge) => edge["target"] === nodeId)
    .map((edge) => String(edge["source"]));
  const types = new Map(version.data?.nodes.map((one) => [one["id"], one["type"]]));
  const outputOf = (id: string): Json | undefined => {
    if (types.get(id) === "api_input") return document.input;
    const entry = document.nodes[id];
    const output = isObject(entry) ? entry["output"] : undefined;
    return output === undefined && types.get(id) === "api_output" ? document.output : output;
  };
  const inputs = sources.flatMap((id) => {
    const output = outputOf(id);
    return output === undefined ? [] : [[id, output] as const];
  });
  const input = types.get(nodeId) === "api_input" ? document.input : Object.fromEntries(inputs);
  const output = outputOf(nodeId);
  const config = node?.["config"] as Json | undefined;
  return (
    <>
      {config && isObject(config) && Object.keys(config).length ? (
        <JsonView label={words.at(deployment_version)} value={config} filename={`${nodeId}-config.json`} />
      ) : null}
      {version.data ? <JsonView label={words.input} value={input} filename={`${nodeId}-input.json`} /> : null}
      {output === undefined || output === null ? null : (
        <JsonView label={words.output} value={output} filename={`${nodeId}-output.json`} />
      )}
    </>
  );
}
