import type { Completion, CompletionContext, CompletionResult } from "@codemirror/autocomplete";
import { isObject, type Json } from "../../../formats/lossless-json";
import type { Samples } from "./samples";

const NAME = /[A-Za-z_]\w*$/;
const PATH = /([A-Za-z_][\w.]*)\.(\w*)$/;

/** Return what can stand at a place: nodes and functions, or after a dot the members that are known. */
export function completionsAt(context: CompletionContext, samples: Samples): CompletionResult | null {
  const path = context.matchBefore(PATH);
  if (path) {
    const end = path.text.lastIndexOf(".");
    const options = membersOf(path.text.slice(0, end).split("."), samples.values);
    return options.length ? { from: path.from + end + 1, options } : null;
  }
  const name = context.matchBefore(NAME);
  if (!name && !context.explicit) return null;
  return { from: name?.from ?? context.pos, options: [...nodesOf(samples), ...functionsOf(samples)] };
}

function membersOf([root = "", ...rest]: string[], values: Record<string, unknown>): Completion[] {
  let value = values[root] as Json | undefined;
  for (const name of rest) value = isObject(value) ? value[name] : undefined;
  return isObject(value) ? Object.keys(value).map((label) => ({ label, type: "property" })) : [];
}

function nodesOf({ nodes }: Samples): Completion[] {
  return nodes.map((label) => ({ label, type: "variable", boost: 1 }));
}

function functionsOf({ functions }: Samples): Completion[] {
  return functions.map(({ name, signature, description }) => ({
    label: name,
    type: "function",
    detail: signature,
    info: description,
  }));
}
