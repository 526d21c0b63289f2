import { useMutation, useQueryClient } from "@tanstack/react-query";
import type { FormEvent } from "react";
import { api } from "../../api/client";
import { fieldErrors } from "../../api/problem";
import { serverTexts } from "../../strings/servers";
import { AsCurl } from "../../ui/as-curl";
import { useBasedForm } from "../../ui/based-form";
import { Button } from "../../ui/button";
import { Field, TextInput } from "../../ui/field";
import { ErrorNotice } from "../../ui/notice";
import type { Server } from "./server";
import styles from "./servers.module.css";

/** The idle time-out, and how many replicas there are unless their number follows the load. */
export function ServerSettings({ server }: { server: Server }) {
  const queries = useQueryClient();
  const { base, form, change, rebase } = useBasedForm({ form: formOf(server) });
  const { idle, replicas } = form;
  const { replica_range: range } = server;
  const save = useMutation({
    mutationFn: (sent: Form) =>
      api.PATCH("/node/inference-servers/{server_id}/", {
        params: { path: { server_id: server.id } },
        body: changeOf(sent, base.form),
      }),
    onSuccess: ({ data }, sent) => {
      if (data) rebase({ form: formOf(data) }, sent);
      return queries.invalidateQueries();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!save.isPending) save.mutate(form);
  };
  const errors = fieldErrors(save.error);
  const body = changeOf(form, base.form);
  const isChanged = Object.keys(body).length > 0;
  return (
    <form onSubmit={submit} className={styles.settings}>
      <Field
        label={serverTexts.servers.idle}
        hint={serverTexts.servers.idleHint}
        error={errors["idle_timeout_seconds"]}
      >
        <TextInput type="number" min={1} value={idle} onValueChange={(text) => change({ idle: text })} />
      </Field>
      {range ? (
        <p className={styles.hint}>{serverTexts.servers.range(range.min, range.max)}</p>
      ) : (
        <Field
          label={serverTexts.servers.replicaCount}
          hint={serverTexts.servers.replicaHint}
          error={errors["replicas"]}
        >
          <TextInput
            type="number"
            min={1}
            max={16}
            required
            value={replicas}
            onValueChange={(text) => change({ replicas: text })}
          />
        </Field>
      )}
      <div className={styles.row}>
        <Button type="submit" disabled={save.isPending}>
          {serverTexts.servers.save}
        </Button>
        <span role="status">{save.isSuccess && !isChanged ? serverTexts.servers.saved : ""}</span>
      </div>
      {isChanged ? (
        <AsCurl calls={[{ method: "PATCH", path: `/node/inference-servers/${server.id}/`, body }]} />
      ) : null}
      {save.error && Object.keys(errors).length === 0 ? <ErrorNotice error={save.error} /> : null}
    </form>
  );
}

interface Form {
  idle: string;
  replicas: string;
}

function formOf({ idle_timeout_seconds: idle, replicas }: Server): Form {
  return { idle: idle?.toString() ?? "", replicas: String(replicas) };
}

/** Only what was changed is sent: the rest may have been changed by others. */
function changeOf({ idle, replicas }: Form, base: Form) {
  return {
    ...(idle === base.idle ? {} : { idle_timeout_seconds: idle === "" ? null : Number(idle) }),
    ...(replicas === base.replicas ? {} : { replicas: Number(replicas) }),
  };
}
