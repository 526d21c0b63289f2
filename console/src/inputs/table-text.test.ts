import { expect, it } from "vitest";
import { ExactNumber } from "../formats/lossless-json";
import { readTable } from "./table-text";

it.each([
  [
    "tabs, as spreadsheets copy",
    "5.1\t3.5\r\n4.9\t3\r\n",
    [
      [5.1, 3.5],
      [4.9, 3],
    ],
  ],
  ["commas with a heading", "\uFEFFlength,width\n5.1,3.5\n", [[5.1, 3.5]]],
  [
    "semicolons",
    "1;2\n3;4",
    [
      [1, 2],
      [3, 4],
    ],
  ],
  [
    "spaces",
    "  1   2\n 3 4",
    [
      [1, 2],
      [3, 4],
    ],
  ],
  ["quotation marks", '"1","2"', [[1, 2]]],
  ["one column", "1\n2\n\n", [[1], [2]]],
  ["rows of different lengths", "1,2\n3", [[1, 2], [3]]],
  ["a large integer", "9007199254740993", [[new ExactNumber("9007199254740993")]]],
])("%s", (_, text, rows) => {
  expect(readTable(text)).toEqual(rows);
});

it.each([
  ["1\t2\n3\tx", 'Line 2, column 2: "x" is no number'],
  ["a,b\n1,2\n3,", 'Line 3, column 2: "" is no number'],
  ["a,b", 'Line 1, column 1: "a" is no number'],
  ["1,2\n\n3,4", "Line 2, column 1"],
])("%j is refused with the place", (text, message) => {
  expect(() => readTable(text)).toThrow(message);
});
