import { useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { api } from "../../api/client";
import { type Tagged, taggedOf } from "../../api/etag";
import { fieldErrors } from "../../api/problem";
import type { components } from "../../api/schema";
import { deploymentTexts } from "../../strings/deployments";
import { AsCurl } from "../../ui/as-curl";
import { Button } from "../../ui/button";
import { Loaded } from "../../ui/loading";
import { SaveError } from "../../ui/save-error";
import { useTaggedForm } from "../../ui/tagged-form";
import { toast } from "../../ui/toast";
import { DeleteDialog } from "./delete-dialog";
import styles from "./deployment.module.css";
import { hasErrorField, SettingsFields } from "./settings-fields";
import { changeOf, settingsForm } from "./settings-form";

type Deployment = components["schemas"]["DeploymentOut"];

const PATH = "/node/deployments/{deployment_id}/";
const route = getRouteApi("/app/deployments/$deploymentId/settings");

/** All settings of a deployment that can be changed without a new version. */
export function SettingsTab() {
  const { deploymentId } = route.useParams();
  const settings = useQuery(settingsQuery(deploymentId));
  return (
    <Loaded query={settings} rows={8}>
      {(loaded) => <Settings key={deploymentId} loaded={loaded} />}
    </Loaded>
  );
}

/** With the ETag, which the queries of `hooks` leave out. */
function settingsQuery(deploymentId: string) {
  const params = { path: { deployment_id: deploymentId } };
  return {
    queryKey: ["get", PATH, { params }, "with its ETag"],
    queryFn: async () => taggedOf(await api.GET(PATH, { params, cache: "no-store" })),
  };
}

function Settings({ loaded }: { loaded: Tagged<Deployment> }) {
  const deployment = loaded.value;
  const [deletes, setDeletes] = useState(false);
  const queries = useQueryClient();
  const { base, form, change, save, reload } = useTaggedForm({
    loaded,
    query: settingsQuery(deployment.id),
    formOf: settingsForm,
    send: async (sent, { form: before, etag }) =>
      taggedOf(
        await api.PATCH(PATH, {
          params: { path: { deployment_id: deployment.id } },
          headers: { "If-Match": etag },
          body: changeOf(sent, before),
        }),
      ),
    onSaved: () => {
      void queries.invalidateQueries();
      toast(deploymentTexts.settings.saved);
    },
  });
  const isChanged = Object.keys(changeOf(form, base)).length > 0;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isChanged && !save.isPending) save.mutate(form);
  };
  const errors = fieldErrors(save.error);
  const path = `/node/deployments/${deployment.id}/`;
  const isTold = Object.keys(errors).some((name) => hasErrorField(form, name));
  return (
    <form onSubmit={submit} className={styles.stack}>
      <p className={styles.hint}>{deploymentTexts.settings.lead}</p>
      <SettingsFields form={form} change={change} errors={errors} />
      {save.error && !isTold ? <SaveError error={save.error} reload={reload} /> : null}
      <div className={styles.bar}>
        <Button type="submit" look="primary" disabled={!isChanged || save.isPending}>
          {save.isPending ? deploymentTexts.settings.saving : deploymentTexts.settings.save}
        </Button>
        <span className={styles.hint}>{isChanged ? "" : deploymentTexts.settings.unchanged}</span>
        <Button look="danger" onClick={() => setDeletes(true)}>
          {deploymentTexts.settings.danger}
        </Button>
      </div>
      {isChanged ? <AsCurl calls={[{ method: "PATCH", path, body: changeOf(form, base) }]} /> : null}
      {deletes ? <DeleteDialog deployment={deployment} onClose={() => setDeletes(false)} /> : null}
    </form>
  );
}
