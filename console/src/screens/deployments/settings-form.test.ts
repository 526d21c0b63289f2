import { describe, expect, it } from "vitest";
import { changeOf, settingsForm } from "./settings-form";

const DEPLOYMENT = {
  name: "Iris",
  execution_mode: "sync",
  deployment_type: "api",
  response_format: "auto",
  non_finite: "string",
  include_node_outputs: true,
  timeout_seconds: 3600,
  on_timeout: "stop",
  queue_timeout_seconds: null,
  cold_start_wait_seconds: 20,
  cancel_on_disconnect: false,
  retry_safe: false,
  require_idempotency_key: false,
  record_runs: "sample",
  record_sample: 1,
  limits: { calls_per_minute: 60, calls_per_day: null, concurrent_runs: null, polls_per_minute: null },
  cors_origins: null,
} as unknown as Parameters<typeof settingsForm>[0];

describe("the change of settings", () => {
  it("is empty where nothing was edited", () => {
    expect(changeOf(settingsForm(DEPLOYMENT), settingsForm(DEPLOYMENT))).toEqual({});
  });

  it("has what was edited, and removes what was emptied", () => {
    const form = {
      ...settingsForm(DEPLOYMENT),
      timeout_seconds: "30",
      queue_timeout_seconds: "5",
      calls_per_minute: "",
      cors_origins: "https://a.example.com\nhttps://b.example.com\n",
    };
    expect(changeOf(form, settingsForm(DEPLOYMENT))).toEqual({
      timeout_seconds: 30,
      queue_timeout_seconds: 5,
      limits: { calls_per_minute: null, calls_per_day: null, concurrent_runs: null, polls_per_minute: null },
      cors_origins: ["https://a.example.com", "https://b.example.com"],
    });
  });
});
