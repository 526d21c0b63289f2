import type { UseQueryResult } from "@tanstack/react-query";
import { type ReactNode, useEffect, useState } from "react";
import { isGone } from "../api/problem";
import { t } from "../strings";
import styles from "./loading.module.css";
import { ErrorNotice } from "./notice";

const SKELETON_MILLISECONDS = 150;
const SENTENCE_MILLISECONDS = 5000;

interface LoadedProps<Data> {
  query: UseQueryResult<Data, unknown>;
  rows?: number;
  children: (data: Data) => ReactNode;
}

/** What a query has brought, unless that was deleted; before that a skeleton, or why there is nothing. */
export function Loaded<Data>({ query, rows = 4, children }: LoadedProps<Data>) {
  if (query.data !== undefined && !isGone(query.error)) return children(query.data);
  if (query.isError) return <ErrorNotice error={query.error} retry={() => void query.refetch()} />;
  return <Skeleton rows={rows} />;
}

/** Rows of their final height: nothing for a moment, and with a sentence when it takes long. */
export function Skeleton({ rows }: { rows: number }) {
  const visible = useElapsed(SKELETON_MILLISECONDS);
  const late = useElapsed(SENTENCE_MILLISECONDS);
  return (
    <div className={styles.skeleton} aria-busy="true">
      {Array.from({ length: rows }, (_, row) => (
        <div key={row} className={styles.row} data-visible={visible || undefined} />
      ))}
      <p role="status" className={styles.late}>
        {late ? t.common.stillLoading : ""}
      </p>
    </div>
  );
}

function useElapsed(milliseconds: number): boolean {
  const [elapsed, setElapsed] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setElapsed(true), milliseconds);
    return () => clearTimeout(timer);
  }, [milliseconds]);
  return elapsed;
}
