import { isObject } from "../../formats/lossless-json";
import { bodyOfCommand, wordsOf } from "../../inputs/curl-words";
import { fragmentOf } from "../../inputs/input";

/** A call of a deployment, as a cURL line has it. */
export interface PastedCall {
  deploymentId: string;
  /** Of the address of *Try it*, after #, with the input; "": the line has none, or one that is too large. */
  fragment: string;
}

const URL_OF_TRIGGER = /\/node\/deployment-trigger\/([\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12})\/?(?=[?#]|$)/i;

/** Return the call of a cURL line that calls a deployment; null: it is no such line. */
export function pastedCall(text: string): PastedCall | null {
  const words = wordsIn(text);
  if (words[0] !== "curl") return null;
  for (const word of words) {
    const deploymentId = URL_OF_TRIGGER.exec(word)?.[1];
    if (deploymentId) return { deploymentId: deploymentId.toLowerCase(), fragment: fragmentIn(text) };
  }
  return null;
}

function wordsIn(text: string): string[] {
  try {
    return wordsOf(text);
  } catch {
    return []; // a quote is open
  }
}

function fragmentIn(text: string): string {
  try {
    const body = bodyOfCommand(text);
    const input = isObject(body) ? body["input_data"] : undefined;
    return (isObject(input) && fragmentOf(input)?.slice(1)) || "";
  } catch {
    return ""; // a file, or not JSON
  }
}
