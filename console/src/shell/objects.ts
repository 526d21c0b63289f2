import type { components } from "../api/schema";

export type ObjectKind = components["schemas"]["SearchKind"];

/** An object that has a page. */
export interface ObjectRef {
  kind: ObjectKind;
  /** Of a model, its name. */
  id: string;
}

interface Place {
  kind: ObjectKind;
  /** Its group is the id. */
  pattern: RegExp;
  path: (id: string) => string;
}

const PLACES: readonly Place[] = [
  { kind: "flow", pattern: /^\/flows\/([\da-f-]{36})\//, path: (id) => `/flows/${id}/edit` },
  {
    kind: "deployment",
    pattern: /^\/deployments\/([\da-f-]{36})\//,
    path: (id) => `/deployments/${id}/code`,
  },
  { kind: "run", pattern: /^\/runs\/([\da-f-]{36})$/, path: (id) => `/runs/${id}` },
  {
    kind: "model",
    pattern: /^\/models\/([^/]+)\/versions\//,
    path: (id) => `/models/${encodeURIComponent(id)}/versions/latest`,
  },
  { kind: "api_key", pattern: /^\/settings\/keys\/([\da-f-]{36})$/, path: (id) => `/settings/keys/${id}` },
  {
    kind: "webhook_delivery",
    pattern: /^\/webhooks\/deliveries\/([^/]+)$/,
    path: (id) => `/webhooks/deliveries/${encodeURIComponent(id)}`,
  },
];

/** Return the object whose page has this path, below the console's own; null: it is a page of no object. */
export function objectAt(path: string): ObjectRef | null {
  for (const { kind, pattern } of PLACES) {
    const id = pattern.exec(path)?.[1];
    if (id !== undefined) return { kind, id: decodeURIComponent(id) };
  }
  return null;
}

/** Return the path of an object's page. */
export function pathOf({ kind, id }: ObjectRef): string {
  const place = PLACES.find((each) => each.kind === kind);
  if (!place) throw new Error(`no page for ${kind}`);
  return place.path(id);
}

/** Whether a value, such as one from storage, is the kind of an object. */
export function isKind(value: unknown): value is ObjectKind {
  return PLACES.some(({ kind }) => kind === value);
}
