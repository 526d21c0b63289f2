import { expect, it } from "vitest";
import { ExactNumber } from "../formats/lossless-json";
import { readNpy, writeNpy } from "./npy";

/** Files that NumPy has written, as base64. */
const FILES = {
  singles:
    "k05VTVBZAQB2AHsnZGVzY3InOiAnPGY0JywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDIsIDIpLCB9ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAMA/zczMPQAAwH8AAID/",
  columns:
    "k05VTVBZAQB2AHsnZGVzY3InOiAnPGk4JywgJ2ZvcnRyYW5fb3JkZXInOiBUcnVlLCAnc2hhcGUnOiAoMiwgMyksIH0gICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAr+//////8fAAEAAAAAACAA////////HwACAAAAAAAgAAAAAAAAACAAAwAAAAAAIAA=",
  booleans:
    "k05VTVBZAQB2AHsnZGVzY3InOiAnfGIxJywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDIsKSwgfSAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoBAA==",
  half: "k05VTVBZAQB2AHsnZGVzY3InOiAnPGYyJywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKCksIH0gICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAQQ==",
  texts:
    "k05VTVBZAQB2AHsnZGVzY3InOiAnPFUxJywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDEsKSwgfSAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAphAAAA",
  versionTwo:
    "k05VTVBZAgB0AAAAeydkZXNjcic6ICd8dTEnLCAnZm9ydHJhbl9vcmRlcic6IEZhbHNlLCAnc2hhcGUnOiAoMSwgMiksIH0gICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoBAg==",
  bigEndian:
    "k05VTVBZAQB2AHsnZGVzY3InOiAnPmkyJywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDIsKSwgfSAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAf/+",
};

function file(name: keyof typeof FILES): ArrayBuffer {
  return Uint8Array.from(Buffer.from(FILES[name], "base64")).buffer;
}

it.each([
  [
    "singles",
    [
      [1.5, 0.1],
      ["NaN", "-Infinity"],
    ],
  ],
  [
    "columns",
    [
      [9007199254740990, 9007199254740991, new ExactNumber("9007199254740992")],
      ["9007199254740993", "9007199254740994", "9007199254740995"].map((text) => new ExactNumber(text)),
    ],
  ],
  ["booleans", [true, false]],
  ["half", 2.5],
  ["versionTwo", [[1, 2]]],
  ["bigEndian", [1, -2]],
] as const)("%s are read as they were saved", (name, expected) => {
  expect(readNpy(file(name))).toEqual(expected);
});

it("what cannot be sent is refused with the reason", () => {
  expect(() => readNpy(file("texts"))).toThrow("Elements of the kind U1");
  expect(() => readNpy(file("singles").slice(0, -1))).toThrow("16 bytes expected, 15 are there");
  expect(() => readNpy(new ArrayBuffer(0))).toThrow("no .npy file");
  expect(() => readNpy(new TextEncoder().encode("1,2,3,4,5,6,7,8").buffer)).toThrow("no .npy file");
});

it("a dimension that would fill the memory is refused", () => {
  const text = "\x93NUMPY\x01\x00\x50\x00{'descr': '<f4', 'fortran_order': False, 'shape': (999999999, 0), }";
  const bytes = Uint8Array.from(text.padEnd(90), (character) => character.charCodeAt(0));
  expect(() => readNpy(bytes.buffer)).toThrow("at most 2,000,000");
});

it.each([
  [[1, 2.5, -3], [3]],
  [
    [1, 2, 3, 4],
    [2, 2],
  ],
])("%j of the shape %j are read as they were written", (values, shape) => {
  const written = writeNpy(values, shape);
  expect(written.byteLength % 64).toBe((values.length * 8) % 64);
  expect([readNpy(written.buffer)].flat(2)).toEqual(values);
});
