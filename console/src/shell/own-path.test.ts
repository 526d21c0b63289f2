import { expect, it } from "vitest";
import { isOwnPath } from "./own-path";

it.each(["/flows", "/deployments/1/try?x=1", "/"])("%s is a path of the console", (path) => {
  expect(isOwnPath(path)).toBe(true);
});

it.each(["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "", 1, null])(
  "%s is none",
  (path) => {
    expect(isOwnPath(path)).toBe(false);
  },
);
