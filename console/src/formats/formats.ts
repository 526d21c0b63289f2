import { isUtc } from "./zone";

const LOCALE = "en";
const COUNT = new Intl.NumberFormat(LOCALE);
const RELATIVE = new Intl.RelativeTimeFormat(LOCALE, { numeric: "always", style: "short" });
const NOW = new Intl.RelativeTimeFormat(LOCALE, { numeric: "auto" }).format(0, "second");
const CLOCK_FORMAT = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" } as const;
const DATE_FORMAT = { month: "short", day: "numeric", ...CLOCK_FORMAT, second: "2-digit" } as const;
const UTC = { timeZone: "UTC" } as const;
const DATE = new Intl.DateTimeFormat(LOCALE, DATE_FORMAT);
const UTC_DATE = new Intl.DateTimeFormat(LOCALE, { ...DATE_FORMAT, ...UTC });
const CLOCK = new Intl.DateTimeFormat(LOCALE, CLOCK_FORMAT);
const UTC_CLOCK = new Intl.DateTimeFormat(LOCALE, { ...CLOCK_FORMAT, ...UTC });
const DAY = new Intl.DateTimeFormat(LOCALE, { month: "short", day: "numeric", ...UTC });
const UNITS = [
  ["second", 1, 60],
  ["minute", 60, 3600],
  ["hour", 3600, 86_400],
] as const;

/** Return a duration with three figures and a unit: `412 µs`, `1.64 ms`, `4.20 s`, `2 min 05 s`. */
export function duration(seconds: number): string {
  if (seconds >= 59.95) {
    const whole = Math.round(seconds);
    return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  }
  if (seconds >= 0.9995) return `${threeFigures(seconds)} s`;
  if (seconds >= 0.0009995) return `${threeFigures(seconds * 1e3)} ms`;
  return `${threeFigures(seconds * 1e6)} µs`;
}

/** Return how long something goes on, roughly: `40 s`, `12 min`, `21 h`, `3 d`. */
export function timeLeft(seconds: number): string {
  const left = Math.max(0, seconds);
  if (left < 60) return `${Math.ceil(left)} s`;
  if (left < 3600) return `${Math.floor(left / 60)} min`;
  if (left < 2 * 86_400) return `${Math.floor(left / 3600)} h`;
  return `${Math.floor(left / 86_400)} d`;
}

/** Return a size as `710 B` or `36.0 MiB`. */
export function bytes(size: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = size;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : threeFigures(value)} ${units[unit]}`;
}

/** Return the beginning and the end of an id, by which people know it. */
export function shortId(id: string): string {
  return id.length > 12 ? `${id.slice(0, 4)}…${id.slice(-4)}` : id;
}

export function count(value: number): string {
  return COUNT.format(value);
}

/** Return a time as `12 sec. ago` within a day, and as a date after that. */
export function moment(time: Date, now: Date): string {
  // The gateway's clock may be a little ahead of this one.
  const seconds = Math.max(0, Math.round((now.getTime() - time.getTime()) / 1000));
  if (seconds === 0) return NOW;
  for (const [unit, size, end] of UNITS) {
    if (seconds < end) return RELATIVE.format(-Math.trunc(seconds / size), unit);
  }
  return date(time);
}

/** Return a time as `Nov 20, 17:25:09`, which stays as it is; in the zone that was chosen, and UTC says so. */
export function date(time: Date): string {
  return isUtc() ? `${UTC_DATE.format(time)} UTC` : DATE.format(time);
}

/** Return a time of day as `17:25`, in the zone that was chosen. */
export function clock(time: Date): string {
  return (isUtc() ? UTC_CLOCK : CLOCK).format(time);
}

/** Return a time of day as `17:25:09`, in the zone that was chosen; with milliseconds for lines of a log. */
export function timeOfDay(time: Date, fractionalSecondDigits?: 3): string {
  const format = {
    ...CLOCK_FORMAT,
    second: "2-digit",
    ...(fractionalSecondDigits ? { fractionalSecondDigits } : {}),
    ...(isUtc() ? UTC : {}),
  } as const;
  const text = new Intl.DateTimeFormat(LOCALE, format).format(time);
  return isUtc() ? `${text} UTC` : text;
}

/** Return a day in UTC as `Nov 26`. */
export function day(time: Date): string {
  return DAY.format(time);
}

function threeFigures(value: number): string {
  const digits = value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return value.toFixed(digits);
}
