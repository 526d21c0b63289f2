import { type ReactNode, useState } from "react";
import type { ListQuery } from "../api/lists";
import { t } from "../strings";
import { Button } from "./button";
import { Skeleton } from "./loading";
import { ErrorNotice } from "./notice";
import { Table } from "./table";

interface ListProps<Row> {
  label: string;
  query: ListQuery<Row>;
  columns: readonly { title: string; cell: (row: Row) => ReactNode }[];
  keyOf: (row: Row) => string;
  empty: ReactNode;
  /**
   * Which list it is, by its filters. Rows that come at its top are shown when they are asked for: they would move
   * what is read or pressed.
   */
  holdsNewerOf?: string;
}

/** A list in all its states: loading, failed, empty, and with rows. */
export function List<Row>(props: ListProps<Row>) {
  const { query } = props;
  const { rows, newer, showNewer } = useHeldRows(props);
  if (!query.data) {
    if (query.isError) return <ErrorNotice error={query.error} retry={() => void query.refetch()} />;
    return <Skeleton rows={6} />;
  }
  // Rows of other filters stay for a moment; that there were none says nothing of these filters.
  if (query.data.length === 0) return query.isPlaceholderData ? <Skeleton rows={6} /> : props.empty;
  return (
    <>
      {newer ? (
        <div>
          <Button onClick={showNewer}>{t.common.newer(newer)}</Button>
        </div>
      ) : null}
      <Table
        label={props.label}
        rows={rows}
        columns={props.columns}
        keyOf={props.keyOf}
        isOld={query.isPlaceholderData}
      />
      {query.hasNextPage ? (
        <div>
          <Button disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
            {t.common.more}
          </Button>
        </div>
      ) : null}
    </>
  );
}

function useHeldRows<Row>({ query, keyOf, holdsNewerOf: of }: ListProps<Row>) {
  const [top, setTop] = useState<{ of: string; key: string } | null>(null);
  const rows = query.data ?? [];
  const [first] = rows;
  const at = rows.findIndex((row) => keyOf(row) === top?.key);
  const isOther = top === null || top.of !== of || at < 0;
  if (of !== undefined && isOther && first && !query.isPlaceholderData) setTop({ of, key: keyOf(first) });
  const newer = Math.max(at, 0);
  return { rows: rows.slice(newer), newer, showNewer: () => setTop(null) };
}
