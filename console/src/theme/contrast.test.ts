import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

const TOKENS = new Map(
  [
    ...readFileSync("src/theme/tokens.css", "utf8").matchAll(/--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)/g),
  ].map(([, name, light, dark]) => [name, [light, dark]]),
);
const TONES = ["accent", "good", "warn", "bad", "draft", "rest"];
const ON_CANVAS = ["text", "muted", "faint", ...TONES].map((tone) => [tone, "canvas", 4.5] as const);
const ON_SURFACE = ["text", "muted", "accent"].map((tone) => [tone, "surface", 4.5] as const);
const ON_TINT = TONES.map((tone) => [tone, `${tone}-tint`, 4.5] as const);
const CONTROLS = ["canvas", "surface", "sunken"].map((ground) => ["control", ground, 3] as const);

describe.each([
  ["light", 0],
  ["dark", 1],
])("the %s theme", (_theme, index) => {
  const pairs = [
    ...ON_CANVAS,
    ...ON_SURFACE,
    ...ON_TINT,
    ...CONTROLS,
    ["on-accent", "accent", 4.5] as const,
    ["on-accent", "bad", 4.5] as const,
  ];
  it.each(pairs)("has %s on %s with a contrast of %d", (front, back, least) => {
    const [a, b] = [luminance(colour(front, index)), luminance(colour(back, index))];
    expect((Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)).toBeGreaterThanOrEqual(least);
  });
});

function colour(token: string, index: number): string {
  const found = TOKENS.get(token)?.[index];
  if (!found) throw new Error(`no token --${token}`);
  return found;
}

function luminance(hex: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5]
    .map((start) => Number.parseInt(hex.slice(start, start + 2), 16) / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
