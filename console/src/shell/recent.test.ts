import { expect, test } from "vitest";
import { type RecentObject, withOpened } from "./recent";

const flow = (id: string, title = id): RecentObject => ({ kind: "flow", id, title });

test("an object that is opened again comes first, with its present title, once", () => {
  expect(withOpened([flow("a"), flow("b")], flow("b", "renamed"))).toEqual([flow("b", "renamed"), flow("a")]);
});

test("ten are kept", () => {
  const many = Array.from({ length: 10 }, (_, at) => flow(String(at)));
  expect(withOpened(many, flow("new")).map(({ id }) => id)).toEqual([
    "new",
    ...many.slice(0, 9).map(({ id }) => id),
  ]);
});
