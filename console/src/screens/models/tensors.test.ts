import { expect, it } from "vitest";
import { ExactNumber } from "../../formats/lossless-json";
import { tensorsOf, valuesOf } from "./tensors";

it("a JSON object becomes the tensors of a call, and these the object", () => {
  const specs = [
    { name: "x", datatype: "FP32" },
    { name: "id", datatype: "INT64" },
    { name: "optional", datatype: "INT64" },
  ];
  const id = new ExactNumber("9007199254740993");
  const input = { x: [[1, 2]], id };
  const tensors = tensorsOf(input, specs);
  expect(tensors).toEqual([
    { name: "x", datatype: "FP32", shape: [1, 2], data: [1, 2] },
    { name: "id", datatype: "INT64", shape: [], data: [id] },
  ]);
  expect(valuesOf(tensors)).toEqual(input);
  expect(() => tensorsOf({ x: [[1], [2, 3]] }, specs)).toThrow("x: expected arrays of equal lengths");
});

it.each([[undefined], [[1]], [[{ name: "x", shape: [2], data: [1] }]], [[{ name: "x", shape: [1] }]]])(
  "%j are no tensors",
  (tensors) => {
    expect(valuesOf(tensors as never)).toBeNull();
  },
);
