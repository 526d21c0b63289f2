import { getRouteApi, Link, Outlet } from "@tanstack/react-router";
import { Plus } from "lucide-react";
import { api } from "../../api/client";
import { useList } from "../../api/lists";
import type { components } from "../../api/schema";
import { duration } from "../../formats/formats";
import { Time } from "../../formats/time";
import { t } from "../../strings";
import { flowTexts } from "../../strings/flows";
import { Button, ButtonLink } from "../../ui/button";
import { DropArea } from "../../ui/drop-area";
import { drop } from "../../ui/dropped-file";
import { Field } from "../../ui/field";
import { FilterField } from "../../ui/filter-field";
import { List } from "../../ui/list";
import { EmptyState, Page } from "../../ui/page";
import { Select } from "../../ui/select";
import { Status } from "../../ui/status";
import { toast } from "../../ui/toast";
import { RunStatus } from "../runs/run-status";
import styles from "./flow-list.module.css";
import { FlowMenu } from "./flow-menu";
import { FLOW_SORTS, type FlowSort } from "./flow-search";
import { isModelFile } from "./model-flow";

type Flow = components["schemas"]["FlowSummaryOut"];
type FlowPage = components["schemas"]["FlowSummaryPage"];

const route = getRouteApi("/app/flows");

export function FlowListScreen() {
  const { q = "", sort = "updated" } = route.useSearch();
  const navigate = route.useNavigate();
  const search = (text: string, order: FlowSort) =>
    void navigate({
      search: { ...(text ? { q: text } : {}), ...(order === "updated" ? {} : { sort: order }) },
      replace: true,
    });
  const flows = useList(
    `/node/flows/?view=summary&q=${encodeURIComponent(q)}&sort=${sort}`,
    async (query) => {
      const { data } = await api.GET("/node/flows/", {
        params: { query: { ...query, view: "summary", q, sort } },
      });
      return data as FlowPage | undefined; // of the view that was asked for
    },
    { isFiltered: true },
  );
  const take = (file: File) => {
    const from = isModelFile(file.name) ? "upload" : isFlowFile(file.name) ? "import" : null;
    if (from === null) {
      toast(flowTexts.actions.wrongFile(file.name));
      return;
    }
    drop(file);
    void navigate({ to: "/flows/new", search: { from } });
  };
  return (
    <>
      <DropArea hint={flowTexts.actions.drop} onFile={take}>
        <Page
          title={t.flows.title}
          actions={
            <ButtonLink to="/flows/new" look="primary">
              <Plus size={16} aria-hidden />
              {flowTexts.list.new}
            </ButtonLink>
          }
        >
          <div className={styles.filters}>
            <FilterField
              label={flowTexts.list.filter}
              type="search"
              value={q}
              onChange={(text) => search(text, sort)}
            />
            <Field label={flowTexts.list.sort}>
              <Select
                value={sort}
                options={FLOW_SORTS.map((value) => ({ value, label: flowTexts.list.sorts[value] }))}
                onChange={(order) => search(q, order)}
              />
            </Field>
          </div>
          <List
            label={t.flows.title}
            query={flows}
            columns={COLUMNS}
            keyOf={(flow) => flow.id}
            empty={
              q ? (
                <EmptyState
                  text={flowTexts.list.noMatch(q)}
                  action={<Button onClick={() => search("", sort)}>{flowTexts.list.clear}</Button>}
                />
              ) : (
                <EmptyState text={flowTexts.list.empty} action={<NewFlow />} />
              )
            }
          />
        </Page>
      </DropArea>
      <Outlet />
    </>
  );
}

function NewFlow() {
  return (
    <ButtonLink to="/flows/new" look="primary">
      {flowTexts.list.new}
    </ButtonLink>
  );
}

function isFlowFile(file: string): boolean {
  return file.toLowerCase().endsWith(".json");
}

const COLUMNS = [
  {
    title: flowTexts.list.name,
    cell: (flow: Flow) => (
      <Link to="/flows/$flowId/edit" params={{ flowId: flow.id }} className={styles.name}>
        {flow.name}
      </Link>
    ),
  },
  {
    title: flowTexts.list.nodes,
    cell: (flow: Flow) => flowTexts.list.nodesOf(flow.nodes, flow.models.join(", ")),
  },
  { title: flowTexts.list.deployments, cell: (flow: Flow) => <Deployments flow={flow} /> },
  { title: flowTexts.list.lastRun, cell: (flow: Flow) => <LastRun run={flow.last_run} /> },
  {
    title: flowTexts.list.edited,
    cell: (flow: Flow) => (
      <>
        <Time iso={flow.updated_at} />
        {flow.updated_by ? ` · ${flow.updated_by}` : null}
      </>
    ),
  },
  { title: flowTexts.actions.title, cell: (flow: Flow) => <FlowMenu flow={flow} /> },
];

function Deployments({ flow: { id, deployments } }: { flow: Flow }) {
  const [newest] = deployments.live;
  if (!newest) return <span className={styles.none}>{flowTexts.list.notDeployed}</span>;
  const isPaused = newest.status === "paused";
  return (
    <Link to="/flows/$flowId/deploy" params={{ flowId: id }} className={styles.states}>
      <Status state={isPaused ? "paused" : "live"}>
        {isPaused ? flowTexts.list.paused : flowTexts.list.live(newest.version)}
      </Status>
      {deployments.count > 1 ? flowTexts.list.others(deployments.count - 1) : null}
      {deployments.differs ? <Status state="draft">{flowTexts.list.differs}</Status> : null}
    </Link>
  );
}

function LastRun({ run }: { run: Flow["last_run"] }) {
  if (!run) return t.common.unknown;
  return (
    <Link to="/runs/$runId" params={{ runId: run.id }} className={styles.states}>
      <RunStatus status={run.status} />
      {run.error_code ?? (run.duration_seconds === null ? null : duration(run.duration_seconds))}
      <Time iso={run.created_at} />
    </Link>
  );
}
