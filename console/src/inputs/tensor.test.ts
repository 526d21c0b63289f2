import { describe, expect, it } from "vitest";
import { ExactNumber, type Json } from "../formats/lossless-json";
import { filled, fitted, flat, nested, numberOf, shapeOf, shapeProblem, shapeToFill } from "./tensor";

it.each<[Json, number[] | null]>([
  [1, []],
  [new ExactNumber("9007199254740993"), []],
  [[[1, 2, 3]], [1, 3]],
  [
    [["a"], ["b"]],
    [2, 1],
  ],
  [[], [0]],
  [[[1, 2], [3]], null],
  [[1, [2]], null],
  [[{ a: 1 }], null],
  [null, null],
])("the shape of %j is %j", (value, shape) => {
  expect(shapeOf(value)).toEqual(shape);
});

it("flat elements and nested arrays become each other", () => {
  const value = [
    [[1], [2]],
    [[3], [4]],
    [[5], [6]],
  ];
  expect(nested(flat(value), [3, 2, 1])).toEqual(value);
  expect(nested([7], [])).toBe(7);
  expect(nested([], [2, 0])).toEqual([[], []]);
});

it.each<[Json, number[] | null, string | null]>([
  [[[1, 2]], [-1, 2], null],
  [[[1, 2]], null, null],
  [[[1, 2, 3]], [-1, 2], "Dimension 2 has 3 values; the signature expects 2 (any × 2)."],
  [[1, 2], [-1, 2], "Expected 2 dimensions (any × 2), got 1."],
  [[[1, 2], [3]], [-1, 2], "Row 2 has 1 value, and row 1 has 2."],
  [[1, { a: 2 }], [2], "Expected arrays of equal lengths that hold numbers."],
])("%j where %j is expected: %s", (value, expected, problem) => {
  expect(shapeProblem(value, expected)).toBe(problem);
});

it.each<[Json, number[] | null, Json]>([
  [[1, 2], [-1, 2], [[1, 2]]],
  [[[1, 2]], [2], [1, 2]],
  [[[1], [2]], [2], [1, 2]],
  [[[1, 2]], [1, 1, 1, 2], [[[[1, 2]]]]],
  [[[[1, 2]]], [-1, 2], [[1, 2]]],
  [
    [1, 2],
    [3, 2],
    [1, 2],
  ],
  [
    [
      [1, 2],
      [3, 4],
    ],
    [4],
    [
      [1, 2],
      [3, 4],
    ],
  ],
  [[1], null, [1]],
])("%j is fitted into %j", (value, expected, fit) => {
  expect(fitted(value, expected)).toEqual(fit);
});

it("new elements get the sizes of the signature, and the present ones where it has none", () => {
  expect(
    shapeToFill(
      [
        [1, 2],
        [3, 4],
      ],
      [-1, 4],
    ),
  ).toEqual([2, 4]);
  expect(shapeToFill([], [-1, 4])).toEqual([1, 4]);
  expect(shapeToFill(null, [2, -1])).toEqual([2, 1]);
  expect(shapeToFill([1, 2, 3], null)).toEqual([3]);
});

describe("fillings", () => {
  const random = () => 0.25;

  it.each([
    ["zeros", "FP32", [0, 0, 0]],
    ["ones", "INT64", [1, 1, 1]],
    ["ramp", "FP32", [0, 0.5, 1]],
    ["ramp", "INT64", [0, 1, 2]],
  ] as const)("%s of %s", (fill, datatype, expected) => {
    expect(filled(fill, [3], datatype, random)).toEqual(expected);
  });

  it("a ramp of bytes begins again", () => {
    const ramp = filled("ramp", [257], "UINT8", random) as number[];
    expect(ramp.slice(254)).toEqual([254, 255, 0]);
  });

  it("normal numbers have mean 0 and deviation 1, six digits, and suit the datatype", () => {
    let state = 1;
    const uniform = () => {
      state = (state * 48_271) % 2_147_483_647;
      return state / 2_147_483_647;
    };
    const numbers = filled("normal", [5_000], "FP32", uniform) as number[];
    const mean = numbers.reduce((sum, number) => sum + number, 0) / 5_000;
    const deviation = Math.sqrt(numbers.reduce((sum, number) => sum + (number - mean) ** 2, 0) / 5_000);
    expect(mean).toBeCloseTo(0, 1);
    expect(deviation).toBeCloseTo(1, 1);
    expect(numbers.every((number) => number === Number(number.toPrecision(6)))).toBe(true);
    const bytes = filled("normal", [100], "UINT8", uniform) as number[];
    expect(bytes.every((number) => Number.isInteger(number) && number >= 0)).toBe(true);
  });
});

it.each<[string, Json | undefined]>([
  [" 5.1 ", 5.1],
  ["-1e-9", -1e-9],
  [".5", 0.5],
  ["+3", 3],
  ["9007199254740993", new ExactNumber("9007199254740993")],
  ["+009007199254740993", new ExactNumber("9007199254740993")],
  ["nan", "NaN"],
  ["-inf", "-Infinity"],
  ["1e999", undefined],
  ["5,1", undefined],
  ["0x10", undefined],
  ["", undefined],
])("the text %j is the number %j", (text, number) => {
  expect(numberOf(text)).toEqual(number);
});
