import { describe, expect, it } from "vitest";
import { fieldErrors, problemOf } from "./problem";

const PROBLEM = {
  type: "/problems/validation-failed",
  title: "Validation failed",
  status: 422,
  detail: "#/name: too long",
  code: "validation_failed",
  message: "#/name: too long",
  request_id: "req_1",
  retryable: false,
  docs_url: "/problems/validation-failed",
  errors: [{ pointer: "#/name", detail: "too long" }],
};

const json = (body: object, status: number, headers: Record<string, string> = {}) =>
  new Response(JSON.stringify(body), { status, headers });

describe("an answer that is no success", () => {
  it("is its problem, with the fields by name", async () => {
    const error = await problemOf(json(PROBLEM, 422));
    expect(error.problem).toEqual(PROBLEM);
    expect(error.message).toBe("#/name: too long");
    expect(fieldErrors(error)).toEqual({ name: "too long" });
  });

  it("says when the same request may succeed", async () => {
    const error = await problemOf(json({ ...PROBLEM, retryable: true }, 503, { "retry-after": "3" }));
    expect(error.retryAfter).toBe(3);
  });

  it("of a proxy has the status for a code", async () => {
    const page = new Response("<html>Bad gateway</html>", { status: 502, statusText: "Bad Gateway" });
    const { problem, retryAfter } = await problemOf(page);
    expect(problem).toMatchObject({ title: "Bad Gateway", code: "http_502", status: 502, retryable: true });
    expect(retryAfter).toBeNull();
  });
});
