import { expect, test } from "vitest";
import { isSound, mono } from "./sound";

test("samples are real numbers in one long dimension", () => {
  for (const shape of [[-1], [16_000], [1, -1], [-1, 1, 48_000]])
    expect(isSound({ datatype: "FP32", shape })).toBe(true);
  for (const shape of [[4], [-1, 4], [2, -1], []]) expect(isSound({ datatype: "FP32", shape })).toBe(false);
  expect(isSound({ datatype: "INT64", shape: [-1] })).toBe(false);
  expect(isSound({ datatype: null, shape: [-1] })).toBe(false);
  expect(isSound({ datatype: "FP32", shape: null })).toBe(false);
});

test("channels are averaged, and cut or followed by silence", () => {
  const channels = [new Float32Array([0.5, 1, 0.1]), new Float32Array([0.25, -1, 0.1])];
  expect(mono(channels, 2)).toEqual([0.375, 0]);
  expect(mono(channels, 5)).toEqual([0.375, 0, 0.1, 0, 0]);
});
