import { expect, it } from "vitest";
import { curlOf } from "./delivery-curl";

it("the request of an attempt is one command without a signature, whatever is in it", () => {
  const headers = { "webhook-id": "msg_1", "webhook-timestamp": "1", "webhook-signature": "v1,AA==" };
  const attempt = { url: "https://shop.example.com/it's", request_headers: headers };
  expect(curlOf(attempt, { note: "it's" })).toBe(
    [
      "curl -X POST 'https://shop.example.com/it'\\''s' \\",
      "  -H 'webhook-id: msg_1' \\",
      `  -d '{"note":"it\\u0027s"}'`,
    ].join("\n"),
  );
});
