interface SentRequest {
  url: string;
  request_headers: Record<string, string>;
}

/** What belongs to the bytes that were sent: the body is serialised again, and may have others. */
const SIGNATURE_HEADERS = ["webhook-signature", "webhook-timestamp"];

/** Return the request of an attempt, without its signature, as a cURL command: all words are in single quotes. */
export function curlOf({ url, request_headers }: SentRequest, payload: unknown): string {
  return [
    `curl -X POST ${quoted(url)}`,
    ...Object.entries(request_headers)
      .filter(([name]) => !SIGNATURE_HEADERS.includes(name.toLowerCase()))
      .map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`),
    `-d '${JSON.stringify(payload).replaceAll("'", "\\u0027")}'`,
  ].join(" \\\n  ");
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
