import { expect, test } from "vitest";
import { type Problem, ProblemError } from "../api/problem";
import { reasonAt, refusalOf } from "./refusal";

const INPUT = { "a/b": 1, x: [[1, 2]], inner: { y: "" } };

function refused(errors: { pointer: string; detail: string }[]) {
  return refusalOf(new ProblemError({ code: "invalid_input", errors } as Problem), "input_data", INPUT);
}

test("reasons are those of the members that the pointers name", () => {
  const refusal = refused([
    { pointer: "#/input_data/a~1b", detail: "too small" },
    { pointer: "#/input_data/x/0/1", detail: "no integer" },
    { pointer: "#/input_data/x/0/2", detail: "another" },
    { pointer: "#/input_data/inner/y", detail: "empty" },
  ]);
  expect(reasonAt(refusal, ["a/b"], 1, true)).toBe("too small");
  expect(reasonAt(refusal, ["inner", "y"], "", true)).toBe("empty");
  expect(reasonAt(refusal, ["inner"], INPUT.inner, false)).toBeUndefined();
  expect(reasonAt(refusal, ["x"], INPUT.x, true)).toMatch(/no integer|another/);
});

test("a changed member is refused no longer", () => {
  const refusal = refused([{ pointer: "#/input_data/x", detail: "wrong" }]);
  expect(reasonAt(refusal, ["x"], INPUT.x, true)).toBe("wrong");
  expect(reasonAt(refusal, ["x"], [[1, 2]], true)).toBeUndefined();
});

test("what is refused for another reason marks nothing", () => {
  expect(refused([{ pointer: "#/input_data", detail: "x is missing" }])).toBeNull();
  expect(refused([{ pointer: "#/other/x", detail: "wrong" }])).toBeNull();
  expect(refusalOf(new Error("away"), "input_data", INPUT)).toBeNull();
});
