import { expect, it } from "vitest";
import { ExactNumber, type Json } from "../formats/lossless-json";
import { numbersOf, shownAs } from "./shown-as";

it.each<[Json, string]>([
  ["text", "scalar"],
  [null, "scalar"],
  [new ExactNumber("9007199254740993"), "scalar"],
  [[1, 2, 3], "table"],
  [
    [
      [1, 2],
      [3, 4],
    ],
    "table",
  ],
  [["a", "b"], "table"],
  [[{ a: 1 }, { b: "x" }], "table"],
  [[[0.9, 0.1]], "shares"],
  [{ cat: 0.25, dog: 0.75 }, "shares"],
  [[{ "0": 0.5, "1": 0.5 }], "shares"],
  [
    [
      [1, 0],
      [0, 1],
    ],
    "table",
  ],
  [[[0.9, 0.3]], "table"],
  [{ a: 1, b: [2] }, "json"],
  [[[[1, 2]], [[3, 4]]], "json"],
  [[[1], [2, 3]], "json"],
  [[], "json"],
])("%j is shown as: %s", (value, kind) => {
  expect(shownAs(value).kind).toBe(kind);
});

it("the largest probabilities come first, with the names of their classes", () => {
  expect(shownAs([{ setosa: 0.2, virginica: 0.7, versicolor: 0.1 }])).toEqual({
    kind: "shares",
    rows: [
      [
        { name: "virginica", share: 0.7 },
        { name: "setosa", share: 0.2 },
        { name: "versicolor", share: 0.1 },
      ],
    ],
    others: 0,
  });
});

it("records have the columns of all of them", () => {
  expect(shownAs([{ a: 1 }, { b: "x" }])).toEqual({
    kind: "table",
    columns: ["a", "b"],
    rows: [
      [1, null],
      [null, "x"],
    ],
    others: 0,
  });
});

it("of many rows the first are shown, and the others counted", () => {
  const shown = shownAs(Array.from({ length: 60 }, (_, at) => [at]));
  expect(shown).toMatchObject({ kind: "table", others: 10 });
});

it.each([0, 1])("a picture of planes or of pixels is drawn alike: %j", (isPixels) => {
  const planes = [0.5, 0, 1].map((level) =>
    Array.from({ length: 8 }, () => Array.from({ length: 9 }, () => level)),
  );
  const pixels = Array.from({ length: 8 }, () => Array.from({ length: 9 }, () => [0.5, 0, 1]));
  const shown = shownAs(isPixels ? pixels : [planes]);
  expect(shown).toMatchObject({ kind: "picture", width: 9, height: 8 });
  if (shown.kind === "picture") expect([...shown.pixels.slice(0, 4)]).toEqual([128, 0, 255, 255]);
});

it("arrays of numbers are saved, others not", () => {
  expect(numbersOf([[1, new ExactNumber("9007199254740993")]])).toEqual({
    numbers: [1, 9007199254740992],
    shape: [1, 2],
  });
  expect(numbersOf(["-Infinity"])?.numbers).toEqual([Number.NEGATIVE_INFINITY]);
  expect(numbersOf(["text"])).toBeNull();
  expect(numbersOf(1)).toBeNull();
});
