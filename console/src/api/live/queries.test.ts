import { QueryObserver } from "@tanstack/react-query";
import { describe, expect, it, vi } from "vitest";
import { queryClient } from "../query-client";
import { concerns, refreshItems } from "./queries";

const ONE = ["get", "/node/flows/{flow_id}/", { params: { path: { flow_id: "a" } } }];
const VERSIONS = ["list", "/node/deployments/d/versions/"];
const RUN = ["get", "/node/flow-runs/{run_id}/timeline/", { params: { path: { run_id: "r" } } }];

describe("concerns", () => {
  it.each([
    [["list", "/node/flows/"], true],
    [["list", "/node/deployments/?flow_id=a"], false],
    [["get", "/node/flows/"], true],
    [ONE, true],
    [["get", "/node/info/"], false],
    [["other", "/node/flows/"], false],
  ])("%j of a flow: %s", (key, expected) => {
    expect(concerns(key, { topic: "flows", id: "a" })).toBe(expected);
  });

  it("is false for another flow, and true if any flow may have changed", () => {
    expect(concerns(ONE, { topic: "flows", id: "b" })).toBe(false);
    expect(concerns(ONE, { topic: "flows", id: null })).toBe(true);
  });

  it("takes lists with a filter", () => {
    expect(concerns(["list", "/node/deployments/?flow_id=a"], { topic: "deployments", id: "d" })).toBe(true);
    expect(concerns(["get", "/node/deployments/presets/"], { topic: "deployments", id: null })).toBe(false);
  });

  it("takes the id in the path of a list", () => {
    expect(concerns(VERSIONS, { topic: "deployments", id: "d" })).toBe(true);
    expect(concerns(VERSIONS, { topic: "deployments", id: null })).toBe(true);
    expect(concerns(VERSIONS, { topic: "deployments", id: "e" })).toBe(false);
  });

  it("is true for what a list has of other resources", () => {
    const deployment = ["get", "/node/deployments/{deployment_id}/", { params: {} }];
    expect(concerns(deployment, { topic: "servers", id: "s" })).toBe(true);
    expect(concerns(VERSIONS, { topic: "servers", id: "s" })).toBe(false);
    expect(concerns(["list", "/node/models/?view=summary"], { topic: "servers", id: "s" })).toBe(true);
    expect(concerns(["list", "/node/flows/?sort=name"], { topic: "runs", id: "r" })).toBe(true);
    expect(concerns(["list", "/node/webhooks/endpoints/"], { topic: "deployments", id: "d" })).toBe(true);
  });

  it("is true for the head of the runs, and by id for one of them, and not for the pages of a list", () => {
    expect(concerns(["get", "/node/flow-runs/", { head: {} }], { topic: "runs", id: "r" })).toBe(true);
    expect(concerns(["runs", "/node/flow-runs/", {}], { topic: "runs", id: "r" })).toBe(false);
    expect(concerns(RUN, { topic: "runs", id: "r" })).toBe(true);
    expect(concerns(RUN, { topic: "runs", id: "s" })).toBe(false);
  });
});

it("takes the rehearsals that are shown", () => {
  const path = "/node/deployments/{deployment_id}/rehearsals/";
  expect(concerns(["get", path, { params: {} }], { topic: "rehearsals", id: "d" })).toBe(true);
  expect(concerns(["list", "/node/deployments/"], { topic: "rehearsals", id: "d" })).toBe(false);
});

it("what changes while it is being read is read once more", async () => {
  const answers: ((flows: string) => void)[] = [];
  const queryFn = () => new Promise<string>((resolve) => answers.push(resolve));
  const observer = new QueryObserver(queryClient, { queryKey: ["list", "/node/flows/"], queryFn });
  const stop = observer.subscribe(() => undefined);
  refreshItems([{ topic: "flows", id: "a" }]);
  refreshItems([{ topic: "flows", id: "b" }]);
  expect(answers).toHaveLength(1);
  answers[0]?.("before the change");
  await vi.waitFor(() => expect(answers).toHaveLength(2));
  answers[1]?.("after the change");
  await vi.waitFor(() => expect(observer.getCurrentResult().data).toBe("after the change"));
  expect(answers).toHaveLength(2);
  expect(observer.getCurrentResult().isFetching).toBe(false);
  stop();
});
