import { expect, it } from "vitest";
import { browserOf } from "./browser";

it.each([
  ["Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox on Linux"],
  [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/131.0 Safari/537.36 Edg/131.0",
    "Edge on Windows",
  ],
  ["Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1", "Safari on iPhone"],
  ["python-httpx/0.28", "python-httpx/0.28"],
  [null, "Unknown browser"],
])("%s is %s", (userAgent, shown) => expect(browserOf(userAgent)).toBe(shown));
