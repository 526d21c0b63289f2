import { expect, it } from "vitest";
import { readCodeChoices } from "./code-choices";

it("takes what is a value of a choice from a URL", () => {
  const choices = { key: "environment", retry: true, version: 2 };
  expect(readCodeChoices({ ...choices, language: "go" })).toEqual(choices);
  expect(readCodeChoices({ key: "sk-1", retry: "yes", version: 1.5 })).toEqual({});
});
