import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Example } from "./examples";
import { filled } from "./filled-example";
import { LANGUAGES, type Language } from "./languages";
import { literalTokens } from "./literals";

type Case = Record<"json" | "shell" | "python" | "javascript" | "go", string>;

/** The gateway's tests read it, too. */
const FILE = new URL("../../../../tests/gateway/examples/literal_cases.json", import.meta.url);
const CASES = JSON.parse(readFileSync(FILE, "utf-8")) as Record<string, Case>;
const FORMS: Record<Language, keyof Case> = {
  curl: "shell",
  python: "python",
  javascript: "javascript",
  typescript: "javascript",
  go: "go",
  httpie: "shell",
  grpc_python: "python",
};

describe.each(LANGUAGES)("literals of %s are those of the gateway", (language) => {
  it.each(Object.keys(CASES))("%s", (name) => {
    const found = CASES[name] as Case;
    expect(textOf(literalTokens(found.json, language))).toBe(found[FORMS[language]]);
  });
});

it("numbers are not rounded, and members not sorted", () => {
  const json = '{"b":9007199254740993,"1":1.50,"a":1e400}';
  expect(textOf(literalTokens(json, "python"))).toBe('{"b": 9007199254740993, "1": 1.50, "a": 1e400}');
});

describe("an example", () => {
  const example = {
    language: "python",
    code: 'call({"a": 1}, {"a": 1})\n',
    tokens: [
      ["n", "call"],
      ["p", "("],
      ["p", "{"],
      ["s2", '"a"'],
      ["p", ": 1}"],
      ["p", ", "],
      ["p", '{"a": 1}'],
      ["p", ")\n"],
    ],
    body_slots: [
      { index: 2, count: 3, literal: '{"a": 1}' },
      { index: 6, count: 1, literal: '{"a": 1}' },
    ],
  } as unknown as Example;

  it("has another body in each of its slots, and the rest as it was", () => {
    const { code, tokens } = filled(example, '{"x":null}');
    expect(code).toBe('call({"x": None}, {"x": None})\n');
    expect(textOf(tokens)).toBe(code);
    expect(example.tokens).toHaveLength(8);
  });

  it("without slots stays as it is", () => {
    const none = { ...example, body_slots: [] };
    expect(filled(none, "{}")).toBe(none);
  });
});

function textOf(tokens: readonly (readonly string[])[]): string {
  return tokens.map(([, text]) => text).join("");
}
