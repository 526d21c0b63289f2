import { expect, it } from "vitest";
import { ExactNumber } from "../formats/lossless-json";
import { fragmentOf, inputOfFragment, readObject, replacedAt } from "./input";

it("a JSON object is read with exact numbers", () => {
  expect(readObject('{"x": [1, 9007199254740993]}')).toEqual({ x: [1, new ExactNumber("9007199254740993")] });
});

it.each(["", "{", "[1]", "null", "1", '"text"'])("%s is refused with a reason", (text) => {
  expect(() => readObject(text)).toThrow(/JSON/);
});

it("a member is replaced, and what is beside it stays the same object", () => {
  const object = { a: { b: 1, c: [2] }, d: [3] };
  const changed = replacedAt(object, ["a", "b"], 5);
  expect(changed).toEqual({ a: { b: 5, c: [2] }, d: [3] });
  expect(changed["d"]).toBe(object.d);
  expect(replacedAt(object, ["a"], undefined)).toEqual({ d: [3] });
  expect(replacedAt({}, ["a", "b"], 1)).toEqual({ a: { b: 1 } });
});

it("a fragment holds an input exactly", () => {
  const input = { text: "é🙂?>~", x: [new ExactNumber("9007199254740993")] };
  const fragment = fragmentOf(input) ?? "";
  expect(fragment).toMatch(/^#i=[\w-]+$/);
  expect(inputOfFragment(fragment)).toEqual(input);
});

it("an input that is too large has no fragment", () => {
  expect(fragmentOf({ x: "a".repeat(6_000) })?.length).toBeLessThanOrEqual(8_192);
  expect(fragmentOf({ x: "a".repeat(7_000) })).toBeNull();
});

it.each(["", "#token=1", "#i=", "#i=!", "#i=WzFd", "#i=_w"])("%s holds no input", (fragment) => {
  expect(inputOfFragment(fragment)).toBeNull();
});
