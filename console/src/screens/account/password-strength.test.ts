import { expect, test } from "vitest";
import { passwordStrength } from "./password-strength";

const EMAIL = "ada.lovelace@example.com";

test.each([
  ["", "short"],
  ["korrekte pf", "short"],
  ["aaaaaaaaaaaaaaaaaaaa", "weak"],
  ["123456789012", "weak"],
  ["abcdefghijklmnop", "weak"],
  ["abababababababab", "weak"],
  ["Password1234", "weak"],
  ["slipstream2026", "weak"],
  ["ada.lovelace@example.com", "weak"],
  ["lovelace1815!", "weak"],
  ["Tr0ub4dor&3x", "fair"],
  ["korrekte pferde heften", "good"],
  ["vK9#qP2m!xL7wR4z", "good"],
] as const)("%j is %s", (password, strength) => expect(passwordStrength(password, EMAIL)).toBe(strength));
