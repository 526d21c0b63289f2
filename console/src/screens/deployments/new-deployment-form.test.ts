import { describe, expect, it } from "vitest";
import { bodyOf, initialForm, isCallbackUrl } from "./new-deployment-form";

const FORM = initialForm("Iris Deployment", undefined, { hasModel: true });

describe("the request of a new deployment", () => {
  it("leaves out what is as by default", () => {
    expect(bodyOf(FORM, "f")).toEqual({
      flow_id: "f",
      name: "Iris Deployment",
      execution_mode: "sync",
      deployment_type: "api",
      start_server: true,
      api_key: "new",
    });
  });

  it("has the webhook and the limits that were entered", () => {
    const form = {
      ...FORM,
      notification: "webhook" as const,
      callbackUrl: " https://example.com/hook ",
      timeout: "30",
      perMinute: "60",
    };
    expect(bodyOf(form, "f")).toMatchObject({
      notification_method: "webhook",
      callback_url: "https://example.com/hook",
      webhook_events: ["run.completed", "run.failed"],
      timeout_seconds: 30,
      limits: { calls_per_minute: 60 },
    });
  });
});

describe("the address of a webhook", () => {
  it.each([
    ["https://example.com/hook", true],
    ["http://127.0.0.1:8765/", true],
    ["example.com", false],
    ["ftp://example.com/", false],
    ["", false],
  ])("%s: %s", (text, expected) => {
    expect(isCallbackUrl(text)).toBe(expected);
  });
});
