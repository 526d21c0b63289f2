import { describe, expect, it } from "vitest";
import { bytes, clock, date, duration, moment, timeLeft, timeOfDay } from "./formats";
import { useZone } from "./zone";

describe("a duration has three figures and a unit", () => {
  it.each([
    [0.000412, "412 µs"],
    [0.00164, "1.64 ms"],
    [0.0164, "16.4 ms"],
    [0.9996, "1.00 s"],
    [4.2, "4.20 s"],
    [59.96, "1 min 00 s"],
    [125, "2 min 05 s"],
  ])("%f seconds are %s", (seconds, shown) => {
    expect(duration(seconds)).toBe(shown);
  });
});

describe("time that is left is rough", () => {
  it.each([
    [-1, "0 s"],
    [39.2, "40 s"],
    [720, "12 min"],
    [77_000, "21 h"],
    [259_200, "3 d"],
  ])("%f seconds are %s", (seconds, shown) => {
    expect(timeLeft(seconds)).toBe(shown);
  });
});

describe("a size has a binary unit", () => {
  it.each([
    [710, "710 B"],
    [36 * 1024 ** 2, "36.0 MiB"],
  ])("%i is %s", (size, shown) => {
    expect(bytes(size)).toBe(shown);
  });
});

describe("a time is relative within a day", () => {
  const now = new Date("2026-11-26T12:00:00Z");
  it.each([
    ["2026-11-26T12:00:01Z", "now"],
    ["2026-11-26T11:59:48Z", "12 sec. ago"],
    ["2026-11-26T11:58:01Z", "1 min. ago"],
    ["2026-11-26T07:00:00Z", "5 hr. ago"],
  ])("%s is %s", (time, shown) => {
    expect(moment(new Date(time), now)).toBe(shown);
  });

  it("and a date after that", () => {
    expect(moment(new Date("2026-11-20T12:00:00Z"), now)).toMatch(/^Nov 20, /);
  });
});

it("a date in UTC says so", () => {
  const time = new Date("2026-11-20T23:25:09Z");
  expect(date(time)).not.toContain("UTC");
  useZone.setState({ zone: "utc" });
  expect(date(time)).toBe("Nov 20, 23:25:09 UTC");
  expect(clock(time)).toBe("23:25");
  expect(timeOfDay(time)).toBe("23:25:09 UTC");
  expect(timeOfDay(time, 3)).toBe("23:25:09.000 UTC");
  useZone.setState({ zone: "local" });
});
