import type { components } from "../../api/schema";

export type NodeKinds = components["schemas"]["NodeKindList"];
export type NodeKind = NodeKinds["items"][number];

/** Node types by their name. */
export type Kinds = ReadonlyMap<string, NodeKind>;

export function kindsOf(answer: NodeKinds): Kinds {
  return new Map(answer.items.map((kind) => [kind.type, kind]));
}
