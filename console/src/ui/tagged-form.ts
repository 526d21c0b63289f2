import { type QueryKey, useMutation, useQueryClient } from "@tanstack/react-query";
import type { Tagged } from "../api/etag";
import { useBasedForm } from "./based-form";

interface TaggedFormOptions<Value, Form> {
  /** What `query` has brought. */
  loaded: Tagged<Value>;
  query: { queryKey: QueryKey; queryFn: () => Promise<Tagged<Value>> };
  formOf: (value: Value) => Form;
  /** Sends what differs from the base, with the base's ETag. */
  send: (form: Form, base: { form: Form; etag: string }) => Promise<Tagged<Value>>;
  onSaved: () => void;
}

/** A form of the settings of an object, which are saved only if others have not changed them meanwhile. */
export function useTaggedForm<Value, Form extends object>(options: TaggedFormOptions<Value, Form>) {
  const { loaded, query, formOf, send, onSaved } = options;
  const baseOf = ({ value, etag }: Tagged<Value>) => ({ form: formOf(value), etag });
  const { base, form, change, rebase } = useBasedForm(baseOf(loaded));
  const queries = useQueryClient();
  const save = useMutation({
    mutationFn: (sent: Form) => send(sent, { form: base.form, etag: base.etag ?? "" }),
    onSuccess: (saved, sent) => {
      rebase(baseOf(saved), sent);
      queries.setQueryData(query.queryKey, saved);
      onSaved();
    },
  });
  const reload = useMutation({
    mutationFn: () => queries.fetchQuery({ ...query, staleTime: 0 }),
    onSuccess: (fresh) => {
      rebase(baseOf(fresh));
      save.reset();
    },
  });
  return { base: base.form, form, change, save, reload };
}
