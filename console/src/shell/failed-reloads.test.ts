import { QueryClient } from "@tanstack/react-query";
import { expect, it, vi } from "vitest";
import { GatewayAway } from "../api/connection";
import { ProblemError } from "../api/problem";
import { watchReloads } from "./failed-reloads";

const KEY = ["flows"];

function problem(status: number): ProblemError {
  return new ProblemError({
    type: "about:blank",
    title: "",
    status,
    detail: "",
    code: `http_${status}`,
    message: `status ${status}`,
    request_id: "",
    retryable: false,
    docs_url: "",
  });
}

/** Load a query several times; return what was told. */
async function told(...answers: unknown[]) {
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  const tell = vi.fn();
  const end = watchReloads(queries, tell);
  for (const answer of answers)
    await queries
      .fetchQuery({
        queryKey: KEY,
        queryFn: () => (answer instanceof Error ? Promise.reject(answer) : answer),
        staleTime: 0,
      })
      .catch(() => undefined);
  end();
  return tell.mock.calls.map(([message]) => message);
}

it("data that could not be loaded again are told once, until they are", async () => {
  expect(await told("rows", problem(500), problem(500))).toEqual(["status 500"]);
  expect(await told("rows", problem(500), "rows", problem(503))).toEqual(["status 500", "status 503"]);
});

it("what the page says itself is not told", async () => {
  expect(await told(problem(500))).toEqual([]);
  for (const error of [problem(401), problem(404), problem(410), new GatewayAway()])
    expect(await told("rows", error)).toEqual([]);
});
