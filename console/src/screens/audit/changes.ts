type Fields = Record<string, unknown> | null;

interface FieldChange {
  field: string;
  before: string | null;
  after: string | null;
}

/** Return the fields of an audit event with their values before and after, in alphabetical order. */
export function changesOf(before: Fields, after: Fields): FieldChange[] {
  const fields = new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})]);
  return [...fields]
    .sort()
    .map((field) => ({ field, before: shown(before, field), after: shown(after, field) }))
    .filter((change) => isChange(change, before !== null && after !== null));
}

/** A field that something was made or deleted with, and that has no value, says nothing. */
function isChange({ before, after }: FieldChange, isUpdate: boolean): boolean {
  return isUpdate || (before ?? after) !== "null";
}

function shown(fields: Fields, field: string): string | null {
  if (fields === null || !(field in fields)) return null;
  const value = fields[field];
  return typeof value === "string" ? value : JSON.stringify(value);
}
