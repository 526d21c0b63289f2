import { Link } from "@tanstack/react-router";
import type { components } from "../../api/schema";
import { duration } from "../../formats/formats";
import { isObject, type Json } from "../../formats/lossless-json";
import { OutputView } from "../../outputs/output-view";
import { codeTexts } from "../../strings/code";
import { ErrorNotice, Notice } from "../../ui/notice";
import { Status } from "../../ui/status";
import type { Answer } from "./call";
import { CallSplit } from "./call-split";
import styles from "./deployment.module.css";
import { readinessText } from "./readiness-status";
import type { useCall } from "./use-call";

type Deployment = components["schemas"]["DeploymentOut"];
type Calling = ReturnType<typeof useCall>;

/** What has become of a call: why it waits, its answer with its times, or why it was refused. */
export function CallAnswer({ deployment, calling }: { deployment: Deployment; calling: Calling }) {
  const { call, isStopped } = calling;
  return (
    <section className={styles.answer} aria-label={codeTexts.try.answer} aria-live="polite">
      {call.isPending ? <Pending calling={calling} readiness={deployment.readiness} /> : null}
      {call.error && !isStopped && !call.isPending ? <ErrorNotice error={call.error} /> : null}
      {call.data && !call.isPending ? <ShownAnswer answer={call.data} /> : null}
      {deployment.execution_mode === "async" && !call.isIdle ? (
        <p className={styles.hint}>
          {codeTexts.try.async}{" "}
          <Link to="/deployments/$deploymentId/settings" params={{ deploymentId: deployment.id }}>
            {codeTexts.try.chooseSync}
          </Link>
        </p>
      ) : null}
      {call.isIdle || isStopped ? <p className={styles.hint}>{codeTexts.try.none}</p> : null}
    </section>
  );
}

function Pending({ calling, readiness }: { calling: Calling; readiness: Deployment["readiness"] }) {
  const { waits, isAccepted } = calling;
  if (waits > 0)
    return (
      <Notice kind="warn">
        {codeTexts.try.waiting(waits)} {readiness ? readinessText(readiness) : null}
      </Notice>
    );
  return <Status state="running">{isAccepted ? codeTexts.try.accepted : codeTexts.try.sending}</Status>;
}

function ShownAnswer({ answer }: { answer: Answer }) {
  const members = isObject(answer.body) ? answer.body : {};
  const status = typeof members["status"] === "string" ? members["status"] : "";
  const seconds = members["duration_seconds"];
  const isFailed = status === "failed" || status === "cancelled";
  return (
    <>
      <div className={styles.facts}>
        <Status state={isFailed ? "failed" : "completed"}>{`${answer.status} ${status}`}</Status>
        {typeof seconds === "number" ? <span>{codeTexts.try.server(duration(seconds))}</span> : null}
        <span>{codeTexts.try.here(duration(answer.seconds))}</span>
        {answer.requestId ? <code>{answer.requestId}</code> : null}
      </div>
      <OutputView
        label={codeTexts.try.answer}
        output={isObject(members["output_data"]) ? members["output_data"] : null}
        whole={once(answer.body)}
        filename="answer.json"
      />
      <CallSplit serverTiming={answer.serverTiming ?? ""} seconds={answer.seconds} />
    </>
  );
}

/** Without `data`, which has the same members once more. */
function once(body: Json): Json {
  if (!isObject(body)) return body;
  const { data: _, ...members } = body;
  return members;
}
