import { settingsTexts } from "../../strings/settings";

/** Names in a User-Agent, the more special ones first: most browsers also name those that they imitate. */
const BROWSERS = [
  ["Edg/", "Edge"],
  ["OPR/", "Opera"],
  ["Firefox/", "Firefox"],
  ["Chrome/", "Chrome"],
  ["Safari/", "Safari"],
] as const;
const SYSTEMS = [
  ["Windows", "Windows"],
  ["Android", "Android"],
  ["iPhone", "iPhone"],
  ["iPad", "iPad"],
  ["Mac OS", "macOS"],
  ["Linux", "Linux"],
] as const;

/** Return browser and system of a User-Agent, such as `Firefox on Linux`; else its beginning. */
export function browserOf(userAgent: string | null): string {
  if (!userAgent) return settingsTexts.sessions.unknown;
  const [browser, system] = [BROWSERS, SYSTEMS].map(
    (names) => names.find(([mark]) => userAgent.includes(mark))?.[1],
  );
  return browser && system ? settingsTexts.sessions.on(browser, system) : userAgent.slice(0, 40);
}
