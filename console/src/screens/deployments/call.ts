import { sessionFetch } from "../../api/client";
import { type ProblemError, problemOf } from "../../api/problem";
import { isObject, type Json, parseJson } from "../../formats/lossless-json";

/** Seconds for which the gateway holds a question for the result of a run. */
const WAIT_SECONDS = 20;

export interface Answer {
  status: number;
  body: Json;
  requestId: string | null;
  serverTiming: string | null;
  /** From sending to the whole answer, by this browser's clock. */
  seconds: number;
}

interface Called {
  /** Of the trigger. */
  path: string;
  /** undefined: the live one. */
  version: number | undefined;
  /** JSON, sent as it is: parsed, integers beyond 2^53 would be rounded. */
  body: string;
  signal: AbortSignal;
  /** Called with the seconds until the call is sent again. */
  onWait: (seconds: number) => void;
  /** Called when the gateway has accepted a run whose result comes later. */
  onAccepted: () => void;
}

/**
 * Call a deployment by the session and return its answer.
 *
 * 503 is sent again after the time that the gateway says; 202 is followed until the run has ended.
 */
export async function callDeployment(call: Called): Promise<Answer> {
  const { body, signal } = call;
  const version = call.version === undefined ? "" : `&version=${call.version}`;
  const path = `${call.path}?response_format=flat${version}`;
  for (;;) {
    const request = new Request(path, {
      method: "POST",
      body,
      headers: { "Content-Type": "application/json" },
      signal,
    });
    const started = performance.now();
    const response = await sessionFetch(request);
    if (response.status === 202) {
      call.onAccepted();
      return followRun(response, started, signal);
    }
    if (response.ok) return answerOf(response, started);
    const error = await problemOf(response);
    if (!mayBeRepeated(error)) throw error;
    await wait(error.retryAfter ?? 1, call);
  }
}

/** Whether the gateway refused the call before it did anything, and expects it again. */
function mayBeRepeated({ problem }: ProblemError): boolean {
  return problem.status === 503 && problem.retryable;
}

async function followRun(accepted: Response, started: number, signal: AbortSignal): Promise<Answer> {
  const { flow_run_id: id } = (await accepted.json()) as { flow_run_id: string };
  for (;;) {
    const response = await sessionFetch(
      new Request(
        `/node/flow-runs/${id}/?wait=${WAIT_SECONDS}&response_format=flat&include_input_data=false`,
        { signal },
      ),
    );
    if (!response.ok) throw await problemOf(response);
    const answer = await answerOf(response, started);
    const status = isObject(answer.body) ? answer.body["status"] : undefined;
    if (status === "completed" || status === "failed" || status === "cancelled") return answer;
  }
}

async function answerOf(response: Response, started: number): Promise<Answer> {
  const body = parseJson(await response.text());
  return {
    status: response.status,
    body,
    requestId: response.headers.get("x-request-id"),
    serverTiming: response.headers.get("server-timing"),
    seconds: (performance.now() - started) / 1000,
  };
}

async function wait(seconds: number, { signal, onWait }: Called): Promise<void> {
  for (let left = Math.ceil(seconds); left > 0; left -= 1) {
    onWait(left);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    signal.throwIfAborted();
  }
  onWait(0);
}
