import type { DeploymentForm } from "./new-deployment-form";

type Answering = Pick<DeploymentForm, "mode" | "format">;

/** The beginning of the answer that a caller gets, as an HTTP status and JSON. */
export function expectedAnswer({ mode, format }: Answering): string {
  const run =
    mode === "async"
      ? { flow_run_id: "019b…", status: "queued" }
      : { ...(mode === "sync" ? { flow_run_id: "019b…" } : {}), status: "completed", output_data: "{…}" };
  const body = format === "envelope" ? { status: "success", message: "…", data: run } : run;
  const text = JSON.stringify(body, null, 2).replace('"{…}"', "{ … }");
  return `HTTP ${mode === "async" ? "202 Accepted" : "200 OK"}\n\n${text}`;
}
