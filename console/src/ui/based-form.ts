import { useState } from "react";
import { isSame } from "../formats/same";

/** What a form is filled from: its fields as they are stored, and the ETag of that state. */
export interface Base<Form> {
  form: Form;
  etag?: string;
}

/**
 * The fields of a form, and the stored state that they are compared with.
 *
 * A form without changes follows what is loaded again. One with changes stays: its base is still the state that
 * its user has seen, so that a request with the base's ETag does not overwrite what others have changed since.
 */
export function useBasedForm<Form extends object>(loaded: Base<Form>) {
  const [base, setBase] = useState(loaded);
  const [form, setForm] = useState(loaded.form);
  const [seen, setSeen] = useState(loaded);
  if (!isSame(seen, loaded)) {
    setSeen(loaded);
    if (isSame(form, base.form) || isSame(form, loaded.form)) {
      setBase(loaded);
      setForm(loaded.form);
    }
  }
  return {
    base,
    form,
    change: (part: Partial<Form>) => setForm((now) => ({ ...now, ...part })),
    /** Keep what differs from the base, or from what was sent, on top of another stored state. */
    rebase: (fresh: Base<Form>, from: Form = base.form) => {
      setForm((now) => rebased(now, from, fresh.form));
      setBase(fresh);
    },
  };
}

/** Return `fresh` with those fields, also of objects within, in which `form` differs from its base. */
export function rebased<Form extends object>(form: Form, base: Form, fresh: Form): Form {
  const entries = Object.entries(form).map(([name, value]) => {
    const before = base[name as keyof Form];
    const now = fresh[name as keyof Form];
    if (isSame(value, before)) return [name, now];
    return [name, areRecords(value, before, now) ? rebased(value, before as object, now as object) : value];
  });
  return Object.fromEntries(entries) as Form;
}

function areRecords(...values: readonly unknown[]): boolean {
  return values.every((value) => typeof value === "object" && value !== null && !Array.isArray(value));
}
