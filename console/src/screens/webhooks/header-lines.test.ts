import { expect, it } from "vitest";
import { parseHeaders } from "./header-lines";

it("headers are read from lines as they are pasted", () => {
  const text =
    "Webhook-Id: msg_1\r\n  webhook-timestamp : 1767323046\n\nno header\n-H 'x-event: run:failed' \\";
  expect(parseHeaders(text)).toEqual({
    "Webhook-Id": "msg_1",
    "webhook-timestamp": "1767323046",
    "x-event": "run:failed",
  });
});
