import { getRouteApi, Link } from "@tanstack/react-router";
import { useMemo } from "react";
import { hooks } from "../../api/client";
import { count } from "../../formats/formats";
import { useZone } from "../../formats/zone";
import { usageTexts } from "../../strings/usage";
import { ButtonLink } from "../../ui/button";
import type { Mark } from "../../ui/chart";
import { Loaded } from "../../ui/loading";
import { EmptyState, Section } from "../../ui/page";
import { Table } from "../../ui/table";
import { Advice } from "./advice";
import { useMinute } from "./minute";
import { DEFAULT_RANGE, ofMinuteBefore, queryOf, RANGE_NAMES } from "./range";
import styles from "./usage.module.css";
import { UsageCharts } from "./usage-charts";
import { UsageHeatMap } from "./usage-heat-map";
import { codesOf, stepsOf, type UsageItem } from "./usage-rows";

const route = getRouteApi("/app/deployments/$deploymentId/usage");
/** More versions than are made in a month; older ones have no mark. */
const LISTED = 200;

/** The calls of a deployment over time, their errors and how long they took. */
export function DeploymentUsageTab() {
  const { deploymentId } = route.useParams();
  const { range = DEFAULT_RANGE } = route.useSearch();
  const now = useMinute();
  const zone = useZone((state) => state.zone);
  const query = queryOf(range, now);
  const asked = { ...query, deployment: deploymentId };
  const usage = hooks.useQuery(
    "get",
    "/node/usage/",
    { params: { query: asked } },
    { placeholderData: ofMinuteBefore(asked) },
  );
  const marks = useVersionMarks(deploymentId, Date.parse(query.from) / 1000);
  return (
    <div className={styles.stack}>
      <nav className={styles.choice} aria-label={usageTexts.range}>
        {RANGE_NAMES.map((name) => (
          <Link
            key={name}
            from="/deployments/$deploymentId/usage"
            to="."
            search={{ range: name }}
            className={styles.option}
            {...(name === range ? { "aria-current": "page" } : {})}
          >
            {usageTexts.ranges[name]}
          </Link>
        ))}
      </nav>
      <Advice deploymentId={deploymentId} />
      <Loaded query={usage} rows={8}>
        {({ items }) => (
          <Shown key={zone} items={items} query={query} marks={marks} deploymentId={deploymentId} />
        )}
      </Loaded>
    </div>
  );
}

interface ShownProps {
  items: readonly UsageItem[];
  query: ReturnType<typeof queryOf>;
  marks: readonly Mark[];
  deploymentId: string;
}

function Shown({ items, query, marks, deploymentId }: ShownProps) {
  const steps = useMemo(() => stepsOf(items), [items]);
  if (!items.length)
    return (
      <EmptyState
        text={usageTexts.none}
        action={
          <ButtonLink to="/deployments/$deploymentId/try" params={{ deploymentId }} look="primary">
            {usageTexts.tryIt}
          </ButtonLink>
        }
      />
    );
  const codes = codesOf(items);
  const calls = items.reduce((sum, item) => sum + item.calls, 0);
  return (
    <>
      {marks.length ? (
        <p className={styles.sentence}>
          {usageTexts.versionMarks(marks.map(({ label }) => label).join(", "))}
        </p>
      ) : null}
      <UsageCharts steps={steps} query={query} marks={marks} />
      <UsageHeatMap query={query} deployment={deploymentId} />
      {codes.length ? (
        <Section title={usageTexts.codes}>
          <Table
            label={usageTexts.codes}
            rows={codes}
            keyOf={({ code }) => code}
            columns={[
              { title: usageTexts.code, cell: ({ code }) => <code>{code}</code> },
              { title: usageTexts.errors, cell: ({ errors }) => count(errors) },
              {
                title: usageTexts.share,
                cell: ({ errors }) => usageTexts.percent((errors / Math.max(calls, 1)) * 100),
              },
            ]}
          />
        </Section>
      ) : null}
    </>
  );
}

/** The versions that were made since a time, which is in seconds since 1970. */
function useVersionMarks(deploymentId: string, since: number): readonly Mark[] {
  const versions = hooks.useQuery("get", "/node/deployments/{deployment_id}/versions/", {
    params: { path: { deployment_id: deploymentId }, query: { limit: LISTED } },
  });
  return useMemo(
    () =>
      (versions.data?.items ?? [])
        .map(({ version, created_at }) => ({
          at: Date.parse(created_at) / 1000,
          label: usageTexts.version(version),
        }))
        .filter(({ at }) => at >= since)
        .reverse(),
    [versions.data, since],
  );
}
