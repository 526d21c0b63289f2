import { stringifyJson } from "./lossless-json";

interface Call {
  url: string;
  key: string;
  body: unknown;
}

/** A request of the management API. */
export interface ManageCall {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** With its query. */
  path: string;
  body?: unknown;
  /** The file that is the body, in place of `body`. */
  file?: string;
  /** What has to be done before; a line. */
  comment?: string;
}

/**
 * Return the call as a cURL command for a shell.
 *
 * All words are in single quotes; an apostrophe in the body is written as its JSON escape, so that importers of
 * other tools read the command as shells do.
 */
export function curlCommand({ url, key, body }: Call): string {
  return joined([`curl -X POST ${url}`, `-H 'X-API-Key: ${key}'`, JSON_TYPE, data(body)]);
}

/** Return a request of the management API as a cURL command, whose key is in the shell's environment. */
export function manageCommand(origin: string, { method, path, body, file, comment }: ManageCall): string {
  const sent =
    file !== undefined
      ? [contentType(file), `--data-binary ${quoted(`@${file}`)}`]
      : body !== undefined
        ? [JSON_TYPE, data(body)]
        : [];
  const before = comment === undefined ? "" : `# ${comment}\n`;
  return before + joined([`curl -X ${method} ${quoted(`${origin}${path}`)}`, KEY_FROM_ENVIRONMENT, ...sent]);
}

const VARIABLE = "SLIPSTREAM_API_KEY";
/** A shell says what is missing, and sends nothing, if the variable is not set. */
const KEY_FROM_ENVIRONMENT = `-H "X-API-Key: \${${VARIABLE}:?set ${VARIABLE} to a key with the scope manage}"`;
const JSON_TYPE = "-H 'Content-Type: application/json'";

function contentType(file: string): string {
  return file.toLowerCase().endsWith(".json") ? JSON_TYPE : "-H 'Content-Type: application/octet-stream'";
}

function data(body: unknown): string {
  return `-d '${stringifyJson(body).replaceAll("'", "\\u0027")}'`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function joined(words: readonly string[]): string {
  return words.join(" \\\n  ");
}
