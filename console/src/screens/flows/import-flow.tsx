import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { api } from "../../api/client";
import type { components } from "../../api/schema";
import { bytes } from "../../formats/formats";
import { firstStepTexts } from "../../strings/first-steps";
import { Skeleton } from "../../ui/loading";
import { ErrorNotice, Notice } from "../../ui/notice";
import { type ExactFlow, flowOf, MAX_FLOW_BYTES } from "./exact-flow";
import { FilePicker } from "./file-picker";
import styles from "./new-flow.module.css";

type Problem = components["schemas"]["ProblemOut"];

/** A file with a flow, as the gateway has checked it. */
interface Checked {
  flow: ExactFlow;
  problems: readonly Problem[];
}

/** The file that is to be imported, and what the gateway says of it. */
export function useImport() {
  const [file, setFile] = useState<File | null>(null);
  const check = useMutation({ mutationFn: checkFile });
  const take = (taken: File) => {
    setFile(taken);
    check.mutate(taken);
  };
  const errors = check.data?.problems.filter(({ severity }) => severity === "error") ?? [];
  const flow = errors.length === 0 ? (check.data?.flow ?? null) : null;
  return { file, take, check, flow };
}

/** The text goes as it is: the gateway says where it is no JSON, and what of it is no flow. */
async function checkFile(file: File): Promise<Checked> {
  if (file.size > MAX_FLOW_BYTES) throw new TooLarge(file.size);
  const text = await file.text();
  const { data } = await api.POST("/node/flows/check/", {
    body: { nodes: [] },
    bodySerializer: () => text,
  });
  if (!data) throw new Error("an answer without a body");
  const flow = flowOf(text);
  const name = typeof flow.name === "string" ? flow.name.trim() : "";
  return { flow: { ...flow, name: name || file.name.replace(/\.json$/i, "") }, problems: data.problems };
}

class TooLarge extends Error {
  readonly size: number;

  constructor(size: number) {
    super("the file is too large");
    this.size = size;
  }
}

/** Takes the file, and names what is wrong with it. */
export function ImportFields({ file, take, check }: ReturnType<typeof useImport>) {
  return (
    <>
      <FilePicker kind="flow" file={file} onChange={take} />
      {check.isPending ? (
        <div role="status" aria-label={firstStepTexts.newFlow.checking}>
          <Skeleton rows={2} />
        </div>
      ) : null}
      {check.error ? <Refused error={check.error} /> : null}
      {check.data ? <Problems checked={check.data} /> : null}
    </>
  );
}

function Refused({ error }: { error: Error }) {
  if (!(error instanceof TooLarge)) return <ErrorNotice error={error} />;
  return (
    <Notice kind="bad" title={firstStepTexts.newFlow.tooLarge(bytes(error.size), bytes(MAX_FLOW_BYTES))} />
  );
}

function Problems({ checked: { flow, problems } }: { checked: Checked }) {
  const errors = problems.filter(({ severity }) => severity === "error");
  const warnings = problems.filter(({ severity }) => severity === "warning");
  if (problems.length === 0)
    return (
      <Notice kind="info" announced>
        <p>{firstStepTexts.newFlow.importable(flow.nodes.length)}</p>
      </Notice>
    );
  return (
    <>
      {errors.length ? (
        <Notice kind="bad" title={firstStepTexts.newFlow.errors(errors.length)}>
          <ProblemList problems={errors} />
        </Notice>
      ) : null}
      {warnings.length ? (
        <Notice kind="warn" announced title={firstStepTexts.newFlow.warnings}>
          <ProblemList problems={warnings} />
        </Notice>
      ) : null}
    </>
  );
}

function ProblemList({ problems }: { problems: readonly Problem[] }) {
  return (
    <ul className={styles.problems}>
      {problems.map(({ pointer, detail }) => (
        <li key={`${pointer} ${detail}`}>
          <code>{pointer}</code> {detail}
        </li>
      ))}
    </ul>
  );
}
