import type { components } from "./schema";

/** As the gateway sends it; what answers in its place has other codes. */
export type Problem = Omit<components["schemas"]["Problem"], "code"> & { code: string };

/** A refused or failed request, with the problem that the gateway answered. */
export class ProblemError extends Error {
  override name = "ProblemError";
  readonly problem: Problem;
  /** Seconds after which the same request may succeed. */
  readonly retryAfter: number | null;

  constructor(problem: Problem, retryAfter: number | null = null) {
    super(problem.message);
    this.problem = problem;
    this.retryAfter = retryAfter;
  }
}

/** Return the problem of an answer that is no success; one that is no problem document becomes one. */
export async function problemOf(response: Response): Promise<ProblemError> {
  const text = await response.text();
  return new ProblemError(parseProblem(text, response), retryAfter(response));
}

function parseProblem(text: string, response: Response): Problem {
  try {
    const body: unknown = JSON.parse(text);
    if (isProblem(body)) return body;
  } catch {
    // A proxy in front of the gateway answered: its page is no JSON.
  }
  return {
    type: "about:blank",
    title: response.statusText || `HTTP ${response.status}`,
    status: response.status,
    detail: "",
    code: `http_${response.status}`,
    message: `HTTP ${response.status} ${response.statusText}`.trim(),
    request_id: response.headers.get("x-request-id") ?? "",
    retryable: response.status >= 500,
    docs_url: "",
  };
}

function isProblem(body: unknown): body is Problem {
  return typeof body === "object" && body !== null && "code" in body && "message" in body;
}

function retryAfter(response: Response): number | null {
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  return Number.isFinite(seconds) ? seconds : null;
}

/** Whether there is no such resource, or no longer. */
export function isGone(error: unknown): boolean {
  return error instanceof ProblemError && [404, 410].includes(error.problem.status);
}

/** Return what is wrong with each field of a request's body, by its name. */
export function fieldErrors(error: unknown): Record<string, string> {
  if (!(error instanceof ProblemError)) return {};
  const errors = (error.problem.errors ?? []).map(
    ({ pointer, detail }) => [pointer.split("/").at(-1) ?? "", detail] as const,
  );
  return Object.fromEntries(errors);
}
