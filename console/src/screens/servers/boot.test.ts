import { describe, expect, it } from "vitest";
import { type Booting, bootPart, bootTime, isLate } from "./boot";

const server = (expected: number | null, slow: number | null = null): Booting => ({
  desired: "running",
  state: "booting",
  phase: "loading",
  reason: null,
  expected_boot_seconds: expected,
  slow_boot_seconds: slow,
});

describe("the boot of a server", () => {
  it("is never shown as over before the server is ready", () => {
    expect(bootPart(2, 4)).toBe(0.5);
    expect(bootPart(4, 4)).toBe(0.95);
    expect(bootPart(400, 4)).toBe(0.95);
  });

  it("has no part and no expected time before the first one", () => {
    expect(bootPart(3, null)).toBeNull();
    expect(bootTime(3.1, server(null))).toBe("3.10 s");
    expect(bootTime(3.1, server(5))).toBe("3.10 s of about 5.00 s");
  });

  it("is late when nine of ten were quicker", () => {
    expect(isLate(7, server(5, 6))).toBe(true);
    expect(isLate(5.5, server(5, 6))).toBe(false);
    expect(isLate(99, server(5))).toBe(false);
  });
});
