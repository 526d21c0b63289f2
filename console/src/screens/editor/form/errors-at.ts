import type { ErrorSchema } from "@rjsf/utils";
import type { Problem } from "../check";

/** Where a member begins in a pointer such as `#/nodes/2/config/model`. */
const MEMBER = 3;

/** Return the problems of one member of a node, in the form in which fields take their errors. */
export function errorsAt(problems: readonly Problem[], member: string): ErrorSchema {
  const found: ErrorSchema = {};
  for (const { pointer, detail } of problems) {
    const [first, ...path] = pointer.split("/").slice(MEMBER).map(unescaped);
    if (first !== member) continue;
    let at: ErrorSchema = found;
    for (const token of path) {
      const members = at as Record<string, ErrorSchema>;
      members[token] ??= {};
      at = members[token];
    }
    at.__errors = [...(at.__errors ?? []), detail];
  }
  return found;
}

function unescaped(token: string): string {
  return token.replaceAll("~1", "/").replaceAll("~0", "~");
}
