/** More values than these are no example that anyone edits in a line. */
const MAX_VALUES = 256;

type Schema = Record<string, unknown>;

/** Return a small value that a JSON Schema accepts, as far as its types say; undefined: it would be too large. */
export function sampleOf(schema: unknown): unknown {
  const left = { values: MAX_VALUES };
  const value = sample(schema, left);
  return left.values < 0 ? undefined : value;
}

function sample(given: unknown, left: { values: number }): unknown {
  left.values -= 1;
  if (left.values < 0 || typeof given !== "object" || given === null) return null;
  const schema = given as Schema;
  const [stated] = [
    schema["const"],
    schema["default"],
    first(schema["examples"]),
    first(schema["enum"]),
  ].filter((value) => value !== undefined);
  if (stated !== undefined) return stated;
  const inner = first(schema["anyOf"]) ?? first(schema["oneOf"]) ?? first(schema["allOf"]);
  if (inner !== undefined) return sample(inner, left);
  switch (typeOf(schema)) {
    case "object":
      return objectOf(schema, left);
    case "array":
      return arrayOf(schema, left);
    case "string":
      return "text";
    case "integer":
      return Math.max(1, Number(schema["minimum"] ?? 1));
    case "number":
      return Math.max(0.5, Number(schema["minimum"] ?? 0.5));
    case "boolean":
      return true;
    default:
      return null;
  }
}

function typeOf(schema: Schema): unknown {
  return first(schema["type"]) ?? schema["type"] ?? ("properties" in schema ? "object" : undefined);
}

/** All that is required, or where nothing is all that is known. */
function objectOf(schema: Schema, left: { values: number }): Schema {
  const properties = (schema["properties"] ?? {}) as Schema;
  const required = (schema["required"] ?? []) as string[];
  const names = required.length ? required : Object.keys(properties);
  return Object.fromEntries(names.map((name) => [name, sample(properties[name] ?? {}, left)]));
}

function arrayOf(schema: Schema, left: { values: number }): unknown[] {
  const length = Math.max(1, Number(schema["minItems"] ?? 1));
  if (length > left.values) {
    left.values = -1;
    return [];
  }
  return Array.from({ length }, () => sample(schema["items"] ?? {}, left));
}

function first(values: unknown): unknown {
  return Array.isArray(values) ? values[0] : undefined;
}
