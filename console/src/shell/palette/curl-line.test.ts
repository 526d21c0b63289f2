import { expect, test } from "vitest";
import { curlCommand } from "../../formats/curl";
import { ExactNumber } from "../../formats/lossless-json";
import { inputOfFragment } from "../../inputs/input";
import { pastedCall } from "./curl-line";

const ID = "0b9c4c1e-1f2a-4c3d-8e4f-5a6b7c8d9e0f";
const URL = `http://127.0.0.1:8080/node/deployment-trigger/${ID}/`;

test("the line that the console shows is read again", () => {
  const body = { input_data: { name: "O'Hara – 😀", x: [[1, 2.5]] } };
  const call = pastedCall(`$ ${curlCommand({ url: URL, key: "sk-EuT64********vsQa1", body })}\n`);
  expect(call?.deploymentId).toBe(ID);
  expect(inputOfFragment(`#${call?.fragment}`)).toEqual(body.input_data);
});

test.each([
  String.raw`curl ${URL} -d "{\"input_data\": {\"n\": 9007199254740993}}"`,
  `curl -sS ${URL}?response_format=flat --data-raw='{"input_data":{"n":9007199254740993}}'`,
  `curl '${URL.slice(0, -1)}' --json '{"input_data":{"n":9007199254740993}}'`,
])("other ways to write it: %#", (line) => {
  const call = pastedCall(line);
  expect(call?.deploymentId).toBe(ID);
  expect(inputOfFragment(`#${call?.fragment}`)).toEqual({ n: new ExactNumber("9007199254740993") });
});

test.each([`curl ${URL} -d @input.json`, `curl ${URL} -d 'no json'`, `curl -X POST ${URL}`])(
  "without an input that can be read, the deployment alone is opened: %s",
  (line) => expect(pastedCall(line)).toEqual({ deploymentId: ID, fragment: "" }),
);

test.each(["", "iris", URL, "curl http://127.0.0.1:8080/node/flows/", `http POST ${URL}`])(
  "%j is no such line",
  (line) => expect(pastedCall(line)).toBeNull(),
);
