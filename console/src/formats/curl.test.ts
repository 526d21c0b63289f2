import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { curlCommand, manageCommand } from "./curl";

/** The words that a shell passes to curl. */
function words(command: string, environment: Record<string, string> = {}): string[] {
  const script = `curl() { printf '%s\\0' "$@"; }\n${command}`;
  const printed = execFileSync("/bin/sh", ["-c", script], { env: environment, stdio: "pipe" });
  return printed.toString().split("\0").slice(0, -1);
}

describe("the cURL command", () => {
  it.each([
    ["an apostrophe", { name: "O'Brien" }],
    ["quotes, a backslash and a newline", { text: '"a\\b"\n$HOME `id` !x' }],
    ["an emoji", { text: "🙂" }],
    ["numbers and null", { x: [[1e-9, 9007199254740991, null, true]] }],
  ])("passes %s through a shell unchanged", (_what, body) => {
    const sent = words(curlCommand({ url: "http://host/path/", key: "sk-1", body }));
    expect(sent.slice(0, 3)).toEqual(["-X", "POST", "http://host/path/"]);
    expect(sent).toContain("X-API-Key: sk-1");
    expect(JSON.parse(sent.at(-1) ?? "")).toEqual(body);
  });
});

describe("the cURL command of the management API", () => {
  const key = { SLIPSTREAM_API_KEY: "sk-1" };

  it("has the key of the environment, and fails without one", () => {
    const command = manageCommand("http://host", { method: "DELETE", path: "/node/a/?b=c&d='e'" });
    expect(words(command, key)).toEqual([
      "-X",
      "DELETE",
      "http://host/node/a/?b=c&d='e'",
      "-H",
      "X-API-Key: sk-1",
    ]);
    expect(() => words(command)).toThrow("SLIPSTREAM_API_KEY");
  });

  it("sends a body, or a file by its type", () => {
    const call = { method: "POST", path: "/node/a/" } as const;
    const sent = words(manageCommand("http://host", { ...call, body: { name: "O'Brien" } }), key);
    expect(JSON.parse(sent.at(-1) ?? "")).toEqual({ name: "O'Brien" });
    const upload = words(manageCommand("http://host", { ...call, file: "it's.onnx" }), key);
    expect(upload.slice(-3)).toEqual([
      "Content-Type: application/octet-stream",
      "--data-binary",
      "@it's.onnx",
    ]);
    expect(words(manageCommand("http://host", { ...call, file: "a.json", comment: "it's" }), key)).toContain(
      "Content-Type: application/json",
    );
  });
});
