import { expect, test } from "vitest";
import { keyIn, withoutKeys } from "./api-key";

/** Bodies with the checksums that gateway/auth/keys.py computes. */
const KEYS = [
  ["a".repeat(40), "3kCaah"],
  ["0Zz9".repeat(10), "2iRs7v"],
  ["Q".repeat(40), "3Hb5Gm"],
].map(([body, checksum]) => `sk-${body}${checksum}`);

test.each(KEYS)("the checksum of key %# is the gateway's", (key) => {
  expect(keyIn(key)).toBe("complete");
  expect(keyIn(`${key.slice(0, 10)}_${key.slice(11)}`)).toBe("none");
  expect(keyIn(`${key.slice(0, 10)}x${key.slice(11)}`)).toBe("mistyped");
  expect(keyIn(key.slice(0, -1))).toBe("none");
  expect(keyIn(`${key}1`)).toBe("none");
});

test("only masks are left of keys, also within a text", () => {
  const [key = ""] = KEYS;
  const mask = "sk-aaaaa********kCaah";
  expect(withoutKeys(key)).toBe(mask);
  expect(withoutKeys(`curl -H 'X-API-Key: ${key}' ${key}`)).toBe(`curl -H 'X-API-Key: ${mask}' ${mask}`);
  expect(withoutKeys(key.slice(0, 30))).toBe("sk-aaaaa********");
  expect(withoutKeys("sk-learn and risk-assessment")).toBe("sk-learn and risk-assessment");
});
