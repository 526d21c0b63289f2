import { useQuery, useQueryClient } from "@tanstack/react-query";
import type { FormEvent } from "react";
import { api } from "../../api/client";
import { type Tagged, taggedOf } from "../../api/etag";
import { fieldErrors } from "../../api/problem";
import { t } from "../../strings";
import { keyTexts } from "../../strings/keys";
import { AsCurl } from "../../ui/as-curl";
import { Button } from "../../ui/button";
import { Loaded } from "../../ui/loading";
import { SaveError } from "../../ui/save-error";
import { useTaggedForm } from "../../ui/tagged-form";
import { toast } from "../../ui/toast";
import { isComplete, KeyFields } from "./key-fields";
import { keyChange, settingsOf } from "./key-settings";
import styles from "./keys.module.css";
import { KEYS, type Key } from "./queries";

const PATH = "/node/api-keys/{key_id}/";

/** Changes a key; what is typed stays while the key is loaded again. */
export function KeySettingsForm({ keyId }: { keyId: string }) {
  const settings = useQuery(settingsQuery(keyId));
  return <Loaded query={settings}>{(loaded) => <SettingsForm loaded={loaded} />}</Loaded>;
}

/** With the ETag, which the queries of `hooks` leave out. */
function settingsQuery(keyId: string) {
  const params = { path: { key_id: keyId } };
  return {
    queryKey: ["get", PATH, { params }, "with its ETag"],
    queryFn: async () => taggedOf(await api.GET(PATH, { params, cache: "no-store" })),
  };
}

function SettingsForm({ loaded }: { loaded: Tagged<Key> }) {
  const { id } = loaded.value;
  const queries = useQueryClient();
  const { base, form, change, save, reload } = useTaggedForm({
    loaded,
    query: settingsQuery(id),
    formOf: settingsOf,
    send: async (sent, { form: before, etag }) =>
      taggedOf(
        await api.PATCH(PATH, {
          params: { path: { key_id: id } },
          headers: { "If-Match": etag },
          body: keyChange(sent, before, new Date()),
        }),
      ),
    onSaved: () => {
      void queries.invalidateQueries({ predicate: ({ queryKey }) => String(queryKey[1]).startsWith(KEYS) });
      toast(t.common.saved);
    },
  });
  const body = keyChange(form, base, new Date());
  const isChanged = Object.keys(body).length > 0;
  const isReady = isChanged && isComplete(form) && !save.isPending;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isReady) save.mutate(form);
  };
  return (
    <form onSubmit={submit} className={`${styles.form} ${styles.narrow}`}>
      <p className={styles.hint}>{keyTexts.settingsText}</p>
      <KeyFields
        settings={form}
        onChange={change}
        expiries={["keep", "never", "7", "30", "90", "365"]}
        errors={fieldErrors(save.error)}
      />
      {save.error ? <SaveError error={save.error} reload={reload} /> : null}
      <div>
        <Button type="submit" look="primary" disabled={!isReady}>
          {t.common.save}
        </Button>
      </div>
      {isChanged ? <AsCurl calls={[{ method: "PATCH", path: `${KEYS}${id}/`, body }]} /> : null}
    </form>
  );
}
