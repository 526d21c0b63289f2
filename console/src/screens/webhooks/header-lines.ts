/** Return the headers in pasted lines, `name: value` each; also those that start with `-H` as in cURL. */
export function parseHeaders(text: string): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const line of text.split("\n")) {
    const [, name, value] = /^\s*(?:-H\s*)?['"]?([^:\s'"]+)\s*:\s*(.*?)['"]?[\s\\]*$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined) headers[name] = value;
  }
  return headers;
}
