import { useNavigate } from "@tanstack/react-router";
import { type Dispatch, type SetStateAction, useCallback, useMemo, useState } from "react";
import { count } from "../../formats/formats";
import { useZone } from "../../formats/zone";
import { t } from "../../strings";
import { runTexts } from "../../strings/runs";
import { Button, ButtonLink } from "../../ui/button";
import { Skeleton } from "../../ui/loading";
import { ErrorNotice } from "../../ui/notice";
import { EmptyState } from "../../ui/page";
import { VirtualGrid } from "../../ui/virtual-grid";
import { BulkBar } from "./bulk-bar";
import { RunCells, RunHeader } from "./run-cells";
import { RunChart } from "./run-chart";
import { RunFilters } from "./run-filters";
import type { RunSummary } from "./run-pages";
import { type RunList, useRuns } from "./run-queries";
import type { RunSearch } from "./run-search";
import styles from "./runs.module.css";

const ROW_HEIGHT = 36;
const COLUMNS = 8;

interface RunBrowserProps {
  search: RunSearch;
  onSearch: (search: RunSearch) => void;
  /** All runs are of the deployment or flow that the search names. */
  ofOne?: "deployment" | "flow";
}

/** A list of runs with its filters, and changes of several runs at once. */
export function RunBrowser({ search, onSearch, ofOne }: RunBrowserProps) {
  const found = useRuns(search);
  const zone = useZone((state) => state.zone);
  const isFiltered = Object.keys(search).length > (ofOne ? 1 : 0);
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const { runs, list } = found;
  // Runs of earlier filters, which stay until there are others, cannot be changed.
  const chosen = useMemo(
    () => (list.isPlaceholderData ? [] : runs.filter((run) => selected.has(run.flow_run_id))),
    [list.isPlaceholderData, runs, selected],
  );
  return (
    <div className={styles.browser}>
      <RunFilters search={search} onSearch={onSearch} ofOne={ofOne} />
      {/* Calls are not counted by flow. */}
      {search.flow ? null : <RunChart key={zone} search={search} onSearch={onSearch} />}
      {/* Outside of the list, which is replaced while filters change: it goes on with what it has begun. */}
      <BulkBar runs={chosen} onDone={() => setSelected(new Set())} />
      {found.list.data ? (
        <Found
          found={found}
          isFiltered={isFiltered}
          onClear={() => onSearch({})}
          selection={{ selected, setSelected }}
        />
      ) : found.list.isError ? (
        <ErrorNotice error={found.list.error} retry={() => void found.list.refetch()} />
      ) : (
        <Skeleton rows={10} />
      )}
    </div>
  );
}

interface FoundProps {
  found: RunList;
  isFiltered: boolean;
  onClear: () => void;
  selection: Selection;
}

interface Selection {
  /** The ids of runs, also of those that are not in the list now. */
  selected: ReadonlySet<string>;
  setSelected: Dispatch<SetStateAction<ReadonlySet<string>>>;
}

function Found({ found, isFiltered, onClear, selection }: FoundProps) {
  const { list, runs, newer, showNewer } = found;
  if (runs.length === 0 && !list.hasNextPage && newer === 0)
    return isFiltered ? (
      <EmptyState
        text={runTexts.runs.noMatch}
        action={<Button onClick={onClear}>{runTexts.runs.clear}</Button>}
      />
    ) : (
      <EmptyState
        text={runTexts.runs.empty}
        action={
          <ButtonLink to="/deployments" look="primary">
            {runTexts.runs.emptyAction}
          </ButtonLink>
        }
      />
    );
  return (
    <>
      {newer ? (
        <Button className={styles.newer} onClick={() => void showNewer()}>
          {newer < 50 ? runTexts.runs.newer(newer) : runTexts.runs.newerMany}
        </Button>
      ) : null}
      {runs.length ? <Runs found={found} {...selection} /> : null}
      {list.hasNextPage && found.lastPageWasEmpty ? (
        <EmptyState
          text={runTexts.runs.noMatchYet(count((list.data?.pages.length ?? 0) * 10_000))}
          action={
            <Button disabled={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>
              {runTexts.runs.lookFurther}
            </Button>
          }
        />
      ) : null}
    </>
  );
}

function Runs({
  found: { list, runs, lastPageWasEmpty },
  selected,
  setSelected,
}: Selection & { found: RunList }) {
  const navigate = useNavigate();
  const [active, setActive] = useState<string | null>(null);
  const { fetchNextPage, hasNextPage, isFetching } = list;
  const more = useCallback(() => {
    if (hasNextPage && !isFetching && !lastPageWasEmpty) void fetchNextPage();
  }, [fetchNextPage, hasNextPage, isFetching, lastPageWasEmpty]);
  const toggle = useCallback(
    ({ flow_run_id }: RunSummary) =>
      setSelected((before) => {
        const after = new Set(before);
        if (!after.delete(flow_run_id)) after.add(flow_run_id);
        return after;
      }),
    [setSelected],
  );
  const cells = useCallback(
    (run: RunSummary) => (
      <RunCells run={run} isSelected={selected.has(run.flow_run_id)} onSelect={() => toggle(run)} />
    ),
    [selected, toggle],
  );
  const isAll = runs.every((run) => selected.has(run.flow_run_id));
  const toggleAll = () => setSelected(new Set(isAll ? [] : runs.map(idOf)));
  return (
    <>
      <VirtualGrid
        label={runTexts.runs.title}
        keys={runTexts.runs.keys}
        rows={runs}
        total={hasNextPage ? null : runs.length}
        keyOf={idOf}
        columns={COLUMNS}
        rowHeight={ROW_HEIGHT}
        active={active}
        onActive={setActive}
        onOpen={(run) => void navigate({ to: "/runs/$runId", params: { runId: run.flow_run_id } })}
        onSelect={toggle}
        onSelectAll={toggleAll}
        isSelected={(run) => selected.has(run.flow_run_id)}
        onNearEnd={more}
        className={styles.list}
        header={<RunHeader isAll={isAll} onAll={toggleAll} />}
        cells={cells}
      />
      {hasNextPage && !lastPageWasEmpty ? (
        <div>
          <Button disabled={isFetching} onClick={() => void fetchNextPage()}>
            {t.common.more}
          </Button>
        </div>
      ) : null}
    </>
  );
}

function idOf(run: RunSummary): string {
  return run.flow_run_id;
}
