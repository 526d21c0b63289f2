import { expect, test } from "vitest";
import { objectAt, pathOf } from "./objects";

const ID = "019b0c7e-1f2a-7c3d-8e4f-5a6b7c8d9e0f";

test.each([
  ["flow", ID],
  ["deployment", ID],
  ["run", ID],
  ["api_key", ID],
  ["model", "a model"],
  ["webhook_delivery", "msg_5yqQ"],
] as const)("the page of a %s names its object", (kind, id) => {
  expect(objectAt(pathOf({ kind, id }))).toEqual({ kind, id });
});

test.each([
  "/",
  "/flows",
  "/flows/new",
  "/runs",
  "/settings/keys/new",
  "/webhooks/endpoints",
  "/models/upload",
])("%s is the page of no object", (path) => expect(objectAt(path)).toBeNull());
