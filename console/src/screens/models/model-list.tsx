import { getRouteApi, Link, Outlet } from "@tanstack/react-router";
import { Upload } from "lucide-react";
import { useList } from "../../api/lists";
import { bytes } from "../../formats/formats";
import { t } from "../../strings";
import { deploymentTexts } from "../../strings/deployments";
import { firstStepTexts } from "../../strings/first-steps";
import { modelTexts } from "../../strings/models";
import { Button, ButtonLink } from "../../ui/button";
import { DropArea } from "../../ui/drop-area";
import { drop } from "../../ui/dropped-file";
import { FilterField } from "../../ui/filter-field";
import { List } from "../../ui/list";
import { EmptyState, Page } from "../../ui/page";
import { Status } from "../../ui/status";
import { toast } from "../../ui/toast";
import { isModelFile, shownTensor } from "../flows/model-flow";
import { ServerStatus } from "../servers/boot";
import styles from "./models.module.css";
import { loadSummaries, type ModelSummary, pause } from "./summaries";

const route = getRouteApi("/app/models");

export function ModelListScreen() {
  const { q = "" } = route.useSearch();
  const navigate = route.useNavigate();
  const filter = (text: string) => void navigate({ search: text ? { q: text } : {}, replace: true });
  const models = useList(
    `/node/models/?view=summary&q=${encodeURIComponent(q)}`,
    (query) => loadSummaries({ ...query, q }),
    { pause, isFiltered: true },
  );
  const take = (file: File) => {
    if (!isModelFile(file.name)) {
      toast(firstStepTexts.newFlow.wrongFile.model(file.name));
      return;
    }
    drop(file);
    void navigate({ to: "/models/upload" });
  };
  return (
    <>
      <DropArea hint={modelTexts.models.dropHere} onFile={take}>
        <Page title={modelTexts.models.title} actions={<UploadLink />}>
          <div className={styles.filter}>
            <FilterField label={modelTexts.models.filter} type="search" value={q} onChange={filter} />
          </div>
          <List
            label={modelTexts.models.title}
            query={models}
            columns={COLUMNS}
            keyOf={(model) => model.name}
            empty={
              q ? (
                <EmptyState
                  text={modelTexts.models.noMatch(q)}
                  action={<Button onClick={() => filter("")}>{modelTexts.models.clear}</Button>}
                />
              ) : (
                <EmptyState text={modelTexts.models.empty} action={<UploadLink />} />
              )
            }
          />
        </Page>
      </DropArea>
      <Outlet />
    </>
  );
}

function UploadLink() {
  return (
    <ButtonLink to="/models/upload" look="primary">
      <Upload size={16} aria-hidden />
      {modelTexts.models.upload}
    </ButtonLink>
  );
}

const COLUMNS = [
  {
    title: modelTexts.models.name,
    cell: ({ name, latest, visibility }: ModelSummary) => (
      <span className={styles.named}>
        <Link
          to="/models/$name/versions/$version"
          params={{ name, version: String(latest) }}
          className={styles.name}
        >
          {name}
        </Link>
        {visibility === "private" ? <span className={styles.faint}>{modelTexts.models.private}</span> : null}
      </span>
    ),
  },
  { title: modelTexts.models.latest, cell: ({ latest }: ModelSummary) => modelTexts.models.version(latest) },
  {
    title: modelTexts.models.labels,
    cell: ({ labels }: ModelSummary) =>
      Object.entries(labels)
        .map(([label, version]) => modelTexts.models.label(label, version))
        .join(", ") || t.common.unknown,
  },
  { title: modelTexts.models.server, cell: (model: ModelSummary) => <Servers model={model} /> },
  {
    title: modelTexts.models.size,
    cell: ({ versions: [newest] }: ModelSummary) => (newest ? bytes(newest.size) : t.common.unknown),
  },
  { title: modelTexts.models.signature, cell: (model: ModelSummary) => <Signature model={model} /> },
  {
    title: modelTexts.models.usedBy,
    cell: ({ used_by, used_by_others }: ModelSummary) =>
      new Set(used_by.map((each) => each.deployment_id)).size + used_by_others,
  },
];

/** The server of the newest version that has one. */
function Servers({ model: { serving } }: { model: ModelSummary }) {
  const [newest, ...others] = serving;
  if (!newest) return <Status state="stopped">{deploymentTexts.deployments.noServer}</Status>;
  return (
    <span className={styles.servers}>
      <Link to="/servers/$serverId" params={{ serverId: newest.id }} className={styles.plain}>
        <ServerStatus server={newest} />
      </Link>
      {newest.memory_bytes ? <span className={styles.faint}>{bytes(newest.memory_bytes)}</span> : null}
      {others.length ? (
        <span className={styles.faint}>{modelTexts.models.moreServers(others.length)}</span>
      ) : null}
    </span>
  );
}

function Signature({ model: { signature, versions } }: { model: ModelSummary }) {
  if (!signature) return t.common.unknown;
  const unserved = versions[0]?.warnings.length ?? 0;
  const outputs = signature.outputs.map((tensor) => tensor.name).join(", ");
  return (
    <span className={styles.signature}>
      <code>{modelTexts.models.signatureOf(signature.inputs.map(shownTensor).join(", "), outputs)}</code>
      {unserved ? <span className={styles.unserved}>{modelTexts.models.unserved(unserved)}</span> : null}
    </span>
  );
}
