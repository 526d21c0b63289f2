import { expect, test } from "vitest";
import { withKey } from "./masked-key";

const KEY = "sk-EuT64aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaavsQa1";

test("a complete key takes the place of its mask, and of stars alone", () => {
  expect(withKey("-H 'X-API-Key: sk-EuT64********vsQa1'", KEY)).toBe(`-H 'X-API-Key: ${KEY}'`);
  expect(withKey('API_KEY = "sk-********"', KEY)).toBe(`API_KEY = "${KEY}"`);
  expect(withKey("2 ******** 3", KEY)).toBe("2 ******** 3");
});
