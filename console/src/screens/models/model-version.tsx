import { useMutation, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { Trash2, Workflow } from "lucide-react";
import { useState } from "react";
import { api, hooks } from "../../api/client";
import type { components } from "../../api/schema";
import { bytes } from "../../formats/formats";
import { Time } from "../../formats/time";
import { modelTexts } from "../../strings/models";
import { navigationTexts } from "../../strings/shell";
import { Button, ButtonLink, GuardedButton } from "../../ui/button";
import { Loaded } from "../../ui/loading";
import { ErrorNotice, Notice } from "../../ui/notice";
import { Page } from "../../ui/page";
import { Tab, Tabs } from "../../ui/tabs";
import { ServerStatus } from "../servers/boot";
import { DeleteVersionDialog } from "./delete-version";
import { useManages } from "./manages";
import { ModelGraphTab } from "./model-graph";
import styles from "./models.module.css";
import { type ModelSummary, summaryKey, useModelSummary } from "./summaries";
import { TryModelTab } from "./try-model";
import { VersionDetails } from "./version-details";

export type Manifest = components["schemas"]["ManifestOut"];

const route = getRouteApi("/app/models/$name/versions/$version");
export const TABS = ["signature", "graph", "try"] as const;

export function ModelVersionScreen() {
  const { name, version } = route.useParams();
  const manifest = hooks.useQuery("get", "/node/models/{name}/versions/{version}/", {
    params: { path: { name, version } },
  });
  return (
    <Loaded query={manifest}>
      {(loaded) => <VersionPage key={`${name} ${version}`} manifest={loaded} />}
    </Loaded>
  );
}

function VersionPage({ manifest }: { manifest: Manifest }) {
  const { name, version, created_at, files, warnings = [] } = manifest;
  const { tab = "signature" } = route.useSearch();
  const summary = useModelSummary(name);
  const manages = useManages(name);
  const [isDeleting, setDeleting] = useState(false);
  return (
    <Page
      title={navigationTexts.modelVersion(name, version)}
      area={modelTexts.models.title}
      facts={
        <>
          {summary.data ? <Server model={summary.data} version={version} /> : null}
          <span>{bytes(files.reduce((sum, file) => sum + file.size, 0))}</span>
          <Time iso={created_at} />
        </>
      }
      actions={
        <>
          <GuardedButton
            reason={manages ? null : modelTexts.modelVersion.notYours}
            onClick={() => setDeleting(true)}
          >
            <Trash2 size={16} aria-hidden />
            {modelTexts.modelVersion.delete}
          </GuardedButton>
          <ButtonLink to="/flows/new" search={{ model: name }} look="primary">
            <Workflow size={16} aria-hidden />
            {modelTexts.modelVersion.makeFlow}
          </ButtonLink>
        </>
      }
    >
      {warnings.length ? (
        <Notice kind="warn" title={modelTexts.modelVersion.warnings}>
          {warnings.map((warning) => (
            <p key={warning.name}>{warning.message}</p>
          ))}
        </Notice>
      ) : null}
      <Tabs label={modelTexts.modelVersion.tabs}>
        {TABS.map((each) => (
          <Tab
            key={each}
            to="/models/$name/versions/$version"
            params={{ name, version: String(version) }}
            search={each === "signature" ? {} : { tab: each }}
            activeOptions={{ exact: true }}
            activeProps={{ "aria-current": "page" }}
          >
            {modelTexts.modelVersion[each]}
          </Tab>
        ))}
      </Tabs>
      {tab === "signature" ? (
        <VersionDetails manifest={manifest} model={summary.data ?? null} manages={manages} />
      ) : null}
      {tab === "graph" ? <ModelGraphTab name={name} version={version} /> : null}
      {tab === "try" ? <TryModelTab manifest={manifest} /> : null}
      {isDeleting ? (
        <DeleteVersionDialog
          model={summary.data ?? null}
          name={name}
          version={version}
          onClose={() => setDeleting(false)}
        />
      ) : null}
    </Page>
  );
}

/** The state of the version's inference server, or a button that starts one. */
function Server({ model, version }: { model: ModelSummary; version: number }) {
  const queries = useQueryClient();
  const start = useMutation({
    mutationFn: () => api.POST("/node/inference-servers/", { body: { model: model.name, version } }),
    onSuccess: () => queries.invalidateQueries({ queryKey: summaryKey(model.name) }),
  });
  const server = model.serving.find((each) => each.version === version);
  if (server)
    return (
      <Link to="/servers/$serverId" params={{ serverId: server.id }} className={styles.plain}>
        <ServerStatus server={server} />
      </Link>
    );
  return (
    <>
      <Button disabled={start.isPending} onClick={() => start.mutate()}>
        {modelTexts.modelVersion.start}
      </Button>
      {start.error ? <ErrorNotice error={start.error} /> : null}
    </>
  );
}
