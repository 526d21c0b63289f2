import { describe, expect, it } from "vitest";
import { ExactNumber, parseJson, stringifyJson } from "./lossless-json";

describe("JSON is shown as it came", () => {
  it.each([
    '{"id":9007199254740993,"deep":[[-12345678901234567890]]}',
    '{"text":"9007199254740993 and \\"9007199254740995\\"","n":1}',
    "[1e400,-1e400]",
    '[null,true,"\\u0000",{}]',
  ])("%s", (text) => {
    const again = stringifyJson(parseJson(text));
    expect(again).toBe(text);
  });

  it("with fractions and safe integers as numbers", () => {
    expect(parseJson("[0.30000000000000004, 9007199254740991, 1.00000000000000001]")).toEqual([
      0.30000000000000004, 9007199254740991, 1,
    ]);
    expect(parseJson("9007199254740992")).toEqual(new ExactNumber("9007199254740992"));
  });

  it("indented like JSON.stringify", () => {
    const value = { a: [1, { b: [] }], c: {}, d: "x" };
    expect(stringifyJson(value, 2)).toBe(JSON.stringify(value, null, 2));
  });

  it("and refused like JSON.parse", () => {
    expect(() => parseJson('{"a": 12345678901234567890-}')).toThrow(SyntaxError);
  });
});
