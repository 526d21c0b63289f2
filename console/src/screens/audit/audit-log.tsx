import { getRouteApi } from "@tanstack/react-router";
import { api } from "../../api/client";
import { useList } from "../../api/lists";
import type { components } from "../../api/schema";
import { Time } from "../../formats/time";
import { t } from "../../strings";
import { settingsTexts } from "../../strings/settings";
import { Button, DownloadLink } from "../../ui/button";
import { List } from "../../ui/list";
import { EmptyState, Page } from "../../ui/page";
import styles from "./audit.module.css";
import { AuditFilterFields } from "./audit-filter-fields";
import { changesOf } from "./changes";
import { type AuditFilters, auditQuery } from "./filters";

type AuditEvent = components["schemas"]["AuditEventOut"];

/** What the keys of queries start with. */
const AUDIT = "/node/audit/";

const route = getRouteApi("/app/settings/audit");
const texts = settingsTexts.audit;

export function AuditLogScreen() {
  const filters = route.useSearch();
  const navigate = route.useNavigate();
  const query = auditQuery(filters);
  const events = useList(
    `${AUDIT}?${search(filters)}`,
    async (page) => {
      const { data } = await api.GET("/node/audit/", { params: { query: { ...page, ...query } } });
      return data;
    },
    { isFiltered: true },
  );
  const isFiltered = Object.keys(filters).length > 0;
  return (
    <Page title={texts.title} facts={texts.text} actions={<Exports filters={filters} />}>
      <AuditFilterFields
        filters={filters}
        onChange={(changed) => void navigate({ search: changed, replace: true })}
      />
      <List
        label={texts.title}
        query={events}
        columns={COLUMNS}
        keyOf={({ id }) => id}
        empty={
          <EmptyState
            text={isFiltered ? texts.noMatch : texts.empty}
            action={
              isFiltered ? <Button onClick={() => void navigate({ search: {} })}>{texts.clear}</Button> : null
            }
          />
        }
      />
    </Page>
  );
}

/** Downloads of all events that match the filters. */
function Exports({ filters }: { filters: AuditFilters }) {
  const href = (format: string) => `${AUDIT}export/?format=${format}&${search(filters)}`;
  return (
    <>
      <DownloadLink href={href("csv")}>{texts.csv}</DownloadLink>
      <DownloadLink href={href("jsonl")}>{texts.jsonl}</DownloadLink>
    </>
  );
}

function search(filters: AuditFilters): string {
  const query = Object.entries(auditQuery(filters)).map(([name, value]) => [name, String(value)]);
  return new URLSearchParams(query).toString();
}

function Changes({ event }: { event: AuditEvent }) {
  const changes = changesOf(event.before, event.after);
  if (changes.length === 0) return t.common.unknown;
  return (
    <details className={styles.change}>
      <summary>{settingsTexts.audit.fields(changes.map(({ field }) => field))}</summary>
      <dl>
        {changes.map(({ field, before, after }) => (
          <div key={field}>
            <dt>{field}</dt>
            <dd>
              {before === null ? null : (
                <del>
                  <span className={styles.word}>{texts.before}</span>
                  <code>{before}</code>
                </del>
              )}
              {after === null ? null : (
                <ins>
                  <span className={styles.word}>{texts.after}</span>
                  <code>{after}</code>
                </ins>
              )}
            </dd>
          </div>
        ))}
      </dl>
    </details>
  );
}

const COLUMNS = [
  { title: texts.action, cell: ({ action }: AuditEvent) => <code className={styles.action}>{action}</code> },
  {
    title: texts.subject,
    cell: (event: AuditEvent) => event.subject_name ?? event.subject_id,
  },
  {
    title: texts.actor,
    cell: ({ actor_name, system_user }: AuditEvent) =>
      system_user ? texts.commandLine(system_user) : (actor_name ?? texts.system),
  },
  { title: texts.address, cell: ({ address }: AuditEvent) => address ?? t.common.unknown },
  { title: texts.change, cell: (event: AuditEvent) => <Changes event={event} /> },
  { title: texts.at, cell: ({ at }: AuditEvent) => <Time iso={at} /> },
];
