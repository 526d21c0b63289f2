import { getRouteApi, Link } from "@tanstack/react-router";
import { Download } from "lucide-react";
import { Fragment, useMemo } from "react";
import { hooks } from "../../api/client";
import { count, duration } from "../../formats/formats";
import { useZone } from "../../formats/zone";
import { t } from "../../strings";
import { usageTexts } from "../../strings/usage";
import { Button } from "../../ui/button";
import { download } from "../../ui/download";
import { Loaded } from "../../ui/loading";
import { EmptyState, Page } from "../../ui/page";
import { Table } from "../../ui/table";
import { DEFAULT_GROUP, GROUP_NAMES } from "./groups";
import { useMinute } from "./minute";
import { DEFAULT_RANGE, ofMinuteBefore, queryOf, RANGE_NAMES } from "./range";
import styles from "./usage.module.css";
import { UsageCharts } from "./usage-charts";
import { UsageHeatMap } from "./usage-heat-map";
import { csvOf, stepsOf, type UsageItem } from "./usage-rows";

const route = getRouteApi("/app/usage");

/** The usage of all deployments, by deployment, version, key or code. */
export function UsageScreen() {
  const { by = DEFAULT_GROUP, range = DEFAULT_RANGE } = route.useSearch();
  const now = useMinute();
  const zone = useZone((state) => state.zone);
  const query = queryOf(range, now);
  const asked = { from: query.from, to: query.to, by };
  const usage = hooks.useQuery(
    "get",
    "/node/usage/",
    { params: { query: asked } },
    { placeholderData: ofMinuteBefore(asked) },
  );
  const items = usage.data?.items ?? [];
  return (
    <Page
      title={usageTexts.title}
      actions={
        <Button disabled={!items.length} onClick={() => downloadItems(items, by)}>
          <Download size={14} aria-hidden />
          {usageTexts.download}
        </Button>
      }
    >
      <div className={styles.bar}>
        <nav className={styles.choice} aria-label={usageTexts.by}>
          <span className={styles.label}>{usageTexts.by}</span>
          {GROUP_NAMES.map((name) => (
            <Link
              key={name}
              from="/usage"
              to="."
              search={{ by: name, range }}
              className={styles.option}
              {...(name === by ? { "aria-current": "page" } : {})}
            >
              {usageTexts.groups[name]}
            </Link>
          ))}
        </nav>
        <nav className={styles.choice} aria-label={usageTexts.range}>
          <span className={styles.label}>{usageTexts.range}</span>
          {RANGE_NAMES.map((name) => (
            <Link
              key={name}
              from="/usage"
              to="."
              search={{ by, range: name }}
              className={styles.option}
              {...(name === range ? { "aria-current": "page" } : {})}
            >
              {usageTexts.ranges[name]}
            </Link>
          ))}
        </nav>
      </div>
      <Loaded query={usage} rows={6}>
        {(found) =>
          found.items.length ? (
            <Table
              label={usageTexts.title}
              rows={found.items}
              keyOf={(item) => [item.deployment_id, item.version, item.api_key_id, item.code].join()}
              columns={[
                { title: usageTexts.groups[by] ?? by, cell: (item) => <Subject item={item} /> },
                ...COLUMNS,
              ]}
            />
          ) : (
            <EmptyState text={usageTexts.noneAtAll} action={null} />
          )
        }
      </Loaded>
      {items.length ? (
        <Fragment key={zone}>
          <OverTime query={query} />
          <UsageHeatMap query={query} />
        </Fragment>
      ) : null}
    </Page>
  );
}

/** The calls of all deployments over time. */
function OverTime({ query }: { query: ReturnType<typeof queryOf> }) {
  const usage = hooks.useQuery("get", "/node/usage/", { params: { query: { ...query, by: "all" } } });
  const steps = useMemo(() => stepsOf(usage.data?.items ?? []), [usage.data]);
  return (
    <Loaded query={usage} rows={8}>
      {() => <UsageCharts steps={steps} query={query} />}
    </Loaded>
  );
}

const COLUMNS = [
  { title: usageTexts.calls, cell: ({ calls }: UsageItem) => count(calls) },
  { title: usageTexts.errors, cell: ({ errors }: UsageItem) => count(errors) },
  { title: usageTexts.runs, cell: ({ runs }: UsageItem) => count(runs) },
  { title: usageTexts.failedRuns, cell: ({ run_errors }: UsageItem) => count(run_errors) },
  { title: usageTexts.p50, cell: ({ p50_seconds }: UsageItem) => seconds(p50_seconds) },
  { title: usageTexts.p95, cell: ({ p95_seconds }: UsageItem) => seconds(p95_seconds) },
  { title: usageTexts.p99, cell: ({ p99_seconds }: UsageItem) => seconds(p99_seconds) },
];

/** What an item is about, as a link where there is a page. */
function Subject({ item }: { item: UsageItem }) {
  const name = subjectOf(item);
  if (item.deployment_id === null || item.deployment_name === null) return name;
  return (
    <Link to="/deployments/$deploymentId/usage" params={{ deploymentId: item.deployment_id }}>
      {name}
    </Link>
  );
}

function subjectOf(item: UsageItem): string {
  if (item.code !== null) return item.code;
  if (item.api_key_id !== null) {
    if (item.api_key_id === "other") return usageTexts.otherKeys;
    return item.api_key_name ?? (item.api_key_id || usageTexts.anonymousKey);
  }
  const deployment = item.deployment_name ?? item.deployment_id ?? "";
  return item.version === null ? deployment : `${deployment} ${usageTexts.version(item.version)}`;
}

function seconds(value: number | null): string {
  return value === null ? t.common.unknown : duration(value);
}

function downloadItems(items: readonly UsageItem[], by: string) {
  const titles = [by, "from", "to", "calls", "errors", "runs", "run_errors", "p50", "p95", "p99"];
  const rows = items.map((item) => [
    subjectOf(item),
    item.from,
    item.to,
    item.calls,
    item.errors,
    item.runs,
    item.run_errors,
    item.p50_seconds,
    item.p95_seconds,
    item.p99_seconds,
  ]);
  download(csvOf(titles, rows), `usage-by-${by}.csv`, "text/csv");
}
