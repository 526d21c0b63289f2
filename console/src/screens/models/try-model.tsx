import { useMutation, useQuery } from "@tanstack/react-query";
import { useLocation } from "@tanstack/react-router";
import { Play } from "lucide-react";
import { type FormEvent, type KeyboardEvent, useMemo } from "react";
import { api, sessionFetch } from "../../api/client";
import { problemOf } from "../../api/problem";
import { curlCommand } from "../../formats/curl";
import { duration } from "../../formats/formats";
import { isObject, type Json, type JsonObject, parseJson, stringifyJson } from "../../formats/lossless-json";
import { useBodyLimit } from "../../inputs/body-limit";
import { inputOfFragment, useInput } from "../../inputs/input";
import { BodyFacts, type CallShape, InputEditor, useBody } from "../../inputs/input-editor";
import { OutputView } from "../../outputs/output-view";
import { modelTexts } from "../../strings/models";
import { Button } from "../../ui/button";
import { Loaded } from "../../ui/loading";
import { ErrorNotice, Notice } from "../../ui/notice";
import { Status } from "../../ui/status";
import type { Manifest } from "./model-version";
import styles from "./models.module.css";
import { tensorsOf, valuesOf } from "./tensors";

interface Answer {
  /** What `/v2` says in place of a problem; null: it has answered. */
  error: string | null;
  status: number;
  body: Json;
  seconds: number;
}

const STARTER = "/node/models/{name}/versions/{version}/starter/";

/** Calls a version with an example of its input. */
export function TryModelTab({ manifest }: { manifest: Manifest }) {
  const { name, version } = manifest;
  const params = { path: { name, version: String(version) } };
  const starter = useQuery({
    queryKey: ["get", STARTER, { params }, "as text"],
    queryFn: async () => {
      const { data } = await api.GET(STARTER, { params, parseAs: "text" });
      const body = parseJson(data ?? "");
      return isObject(body) ? body : {};
    },
  });
  const hash = useLocation({ select: ({ hash }) => hash });
  return (
    <Loaded query={starter} rows={6}>
      {({ input_schema: schema, test_data: sample }) => (
        // Another fragment is another input.
        <Try
          key={hash}
          manifest={manifest}
          schema={isObject(schema) ? schema : null}
          sample={isObject(sample) ? sample : null}
          shared={inputOfFragment(`#${hash}`)}
        />
      )}
    </Loaded>
  );
}

interface TryProps {
  manifest: Manifest;
  schema: JsonObject | null;
  /** Null: a tensor is too large for a sample. */
  sample: JsonObject | null;
  /** What the link to this page holds. */
  shared: JsonObject | null;
}

function Try({ manifest, schema, sample, shared }: TryProps) {
  const input = useInput(shared ?? sample ?? {});
  const shape = useMemo(() => callShapeOf(manifest), [manifest]);
  const limit = useBodyLimit();
  const body = useBody(input, shape, limit);
  const call = useMutation({
    mutationFn: () => infer(pathOf(manifest), stringifyJson(shape.bodyOf(input.value))),
  });
  const send = (event: FormEvent | KeyboardEvent) => {
    event.preventDefault();
    if (body.problem === null && !call.isPending) call.mutate();
  };
  return (
    <div className={styles.try}>
      <form onSubmit={send} className={styles.stack}>
        <InputEditor
          input={input}
          schema={schema}
          call={shape}
          jsonLabel={modelTexts.tryModel.input}
          hint={sample ? modelTexts.tryModel.hint : modelTexts.tryModel.noSample}
          limit={limit}
          onSend={send}
        />
        <BodyFacts input={input} body={body} />
        <div className={styles.row}>
          <Button type="submit" look="primary" disabled={body.problem !== null || call.isPending}>
            <Play size={14} aria-hidden />
            {modelTexts.tryModel.send}
          </Button>
          <span className={styles.faint}>{modelTexts.tryModel.session}</span>
        </div>
      </form>
      <section className={styles.stack} aria-label={modelTexts.tryModel.answer} aria-live="polite">
        {call.isPending ? <Status state="running">{modelTexts.tryModel.sending}</Status> : null}
        {call.error && !call.isPending ? <ErrorNotice error={call.error} /> : null}
        {call.data && !call.isPending ? <Shown answer={call.data} /> : null}
        {call.isIdle ? <p className={styles.faint}>{modelTexts.tryModel.none}</p> : null}
      </section>
    </div>
  );
}

function Shown({ answer: { error, status, body, seconds } }: { answer: Answer }) {
  if (error !== null)
    return (
      <Notice kind="bad" title={modelTexts.tryModel.refused(status)}>
        <p>{error}</p>
      </Notice>
    );
  return (
    <>
      <div className={styles.row}>
        <Status state="completed">{status}</Status>
        <span className={styles.faint}>{modelTexts.tryModel.took(duration(seconds))}</span>
      </div>
      <OutputView
        label={modelTexts.tryModel.answer}
        output={valuesOf(isObject(body) ? body["outputs"] : undefined)}
        whole={body}
        filename="answer.json"
      />
    </>
  );
}

function pathOf({ name, version }: Manifest): string {
  return `/v2/models/${encodeURIComponent(name)}/versions/${version}/infer`;
}

function callShapeOf(manifest: Manifest): CallShape {
  const url = window.location.origin + pathOf(manifest);
  return {
    bodyOf: (value) => ({ inputs: tensorsOf(value, manifest.inputs) }),
    inputOf: (body) => valuesOf(isObject(body) ? body["inputs"] : undefined),
    expected: modelTexts.tryModel.expected,
    command: (body) => curlCommand({ url, key: modelTexts.tryModel.yourKey, body }),
  };
}

async function infer(path: string, body: string): Promise<Answer> {
  const request = new Request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body,
  });
  const began = performance.now();
  const response = await sessionFetch(request);
  const content = await response.clone().text();
  const seconds = (performance.now() - began) / 1000;
  try {
    const answered = parseJson(content);
    const error = isObject(answered) ? answered["error"] : undefined;
    return {
      error: typeof error === "string" ? error : null,
      status: response.status,
      body: answered,
      seconds,
    };
  } catch {
    throw await problemOf(response);
  }
}
