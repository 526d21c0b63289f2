import { describe, expect, it } from "vitest";
import { curlCommand } from "../formats/curl";
import { ExactNumber } from "../formats/lossless-json";
import { bodyOfCommand, withoutKeys } from "./curl-words";

describe("the body of a command", () => {
  it.each([
    ["text", { input_data: { text: `O'Brien "a\\b"\n$HOME \`id\` 🙂` } }],
    ["a large integer", { input_data: { x: [new ExactNumber("9007199254740993")] } }],
  ])("that the console wrote is the same: %s", (_, body) => {
    expect(bodyOfCommand(curlCommand({ url: "http://host/path/", key: "sk-1", body }))).toEqual(body);
  });

  it.each([
    [`curl http://host --data-raw '{"a": "it'\\''s"}' --compressed`],
    ['curl -X POST \\\n  -H \'X-API-Key: sk-1\' \\\n  --json "{\\"a\\": \\"it\'s\\"}" http://host'],
    [`$ curl http://host -d'{"a":"it\\u0027s"}'`],
    [`curl 'http://host' --data-binary $'{"a": "it\\'s"}'`],
    [`curl http://host --json='{"a": "it\\u0027s"}'`],
  ])("%s", (command) => {
    expect(bodyOfCommand(command)).toEqual({ a: "it's" });
  });

  it.each([
    ["wget http://host", "begins with curl"],
    ["curl http://host", "The command has none"],
    ["curl -d 1 -d 2 http://host", "got 2"],
    ["curl -d @input.json http://host", "in the file input.json"],
    ["curl -d '{' http://host", "The body is no JSON"],
    ["curl -d '{}", "quotation mark (') is not closed"],
  ])("%s is refused with the reason", (command, reason) => {
    expect(() => bodyOfCommand(command)).toThrow(reason);
  });
});

it("keys are taken out, and masks stay", () => {
  const command = `-H 'X-API-Key: sk-${"a1".repeat(23)}' -H 'X-API-Key: sk-EuT64********vsQa1'`;
  expect(withoutKeys(command, "KEY")).toBe("-H 'X-API-Key: KEY' -H 'X-API-Key: sk-EuT64********vsQa1'");
});
