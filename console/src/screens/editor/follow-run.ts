import { isObject, type Json, parseJson } from "../../formats/lossless-json";

interface RunListener {
  onStatus: (status: string) => void;
  /** A node has ended. */
  onNode: (id: string, entry: Json) => void;
  /** The run has ended, or its events cannot be read. */
  onEnd: () => void;
}

const ENDS = ["completed", "failed", "cancelled"] as const;
const AFTER_REFUSAL_MILLISECONDS = 2000;

/** Follow the events of a run; the function that is returned stops it. */
export function followRun(id: string, { onStatus, onNode, onEnd }: RunListener): () => void {
  const events = new EventSource(`/node/flow-runs/${id}/events/`);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stop = () => {
    clearTimeout(timer);
    events.close();
  };
  const on = (name: string, handle: (data: Json) => void) =>
    events.addEventListener(name, (event) => handle(parseJson((event as MessageEvent<string>).data)));
  on("status", (data) => {
    if (isObject(data)) onStatus(String(data["status"]));
  });
  on("node", (data) => {
    if (isObject(data) && data["node"] !== undefined) onNode(String(data["node_id"]), data["node"]);
  });
  for (const name of ENDS)
    events.addEventListener(name, () => {
      stop();
      onEnd();
    });
  events.onerror = () => {
    // A browser connects again by itself, unless the answer was an error.
    if (events.readyState === EventSource.CLOSED) timer = setTimeout(onEnd, AFTER_REFUSAL_MILLISECONDS);
  };
  return stop;
}
