import { useEffect, useMemo, useRef, useState } from "react";
import { count } from "../../formats/formats";
import { t } from "../../strings";
import { runTexts } from "../../strings/runs";
import { Button } from "../../ui/button";
import { Skeleton } from "../../ui/loading";
import { ErrorNotice, Notice } from "../../ui/notice";
import { Status } from "../../ui/status";
import { GridCell, GridHeading, VirtualGrid } from "../../ui/virtual-grid";
import { type RunDocument, type Timeline, useTimeline } from "./run-queries";
import { stateOf } from "./run-status";
import styles from "./runs.module.css";
import { SpanDetails } from "./span-details";
import { isFailure, otherFailure, type PlacedSpan, placed, spanTime } from "./spans";

const ROW_HEIGHT = 36;
const COLUMNS = 3;
const words = runTexts.runs.timeline;

interface RunTimelineProps {
  document: RunDocument;
  /** The id of the span whose details are shown. */
  chosen: string | null;
  onChoose: (id: string) => void;
}

/** What happened to a run and when, and the details of one span. */
export function RunTimeline(props: RunTimelineProps) {
  const query = useTimeline(props.document.facts.flow_run_id);
  const timeline = useMemo(() => {
    const first = query.data?.pages[0];
    return first ? { ...first, spans: query.data?.pages.flatMap((page) => page.spans) ?? [] } : null;
  }, [query.data]);
  if (!timeline) {
    if (query.isError) return <ErrorNotice error={query.error} retry={() => void query.refetch()} />;
    return <Skeleton rows={6} />;
  }
  return (
    <>
      {timeline.notes.map((note) => (
        <Notice key={note.code} kind="info">
          <p>{note.text}</p>
        </Notice>
      ))}
      <Spans {...props} timeline={timeline} isFetching={query.isFetching} />
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

interface SpansProps extends RunTimelineProps {
  timeline: Timeline;
  isFetching: boolean;
}

function Spans(props: SpansProps) {
  const { document, onChoose, timeline } = props;
  const first = useFirstFailure(props);
  const chosen = props.chosen ?? first;
  const rows = usePlaced(timeline);
  const failures = timeline.spans.filter(isFailure).length;
  /** The span that was chosen last, also before it is shown: who presses twice goes on from the first. */
  const latest = useRef(chosen);
  useEffect(() => {
    latest.current = chosen;
  }, [chosen]);
  const jump = (step: 1 | -1) => {
    const span = otherFailure(timeline.spans, latest.current, step);
    if (!span) return;
    latest.current = span.id;
    onChoose(span.id);
  };
  const section = useRef<HTMLElement>(null);
  const latestJump = useRef(jump);
  latestJump.current = jump;
  useEffect(() => {
    const element = section.current;
    const onKey = (event: KeyboardEvent) => {
      const step = { "[": -1, "]": 1 }[event.key] as 1 | -1 | undefined;
      if (step) latestJump.current(step);
    };
    element?.addEventListener("keydown", onKey);
    return () => element?.removeEventListener("keydown", onKey);
  }, []);
  const span = timeline.spans.find((one) => one.id === chosen);
  return (
    <section ref={section} className={styles.timeline} aria-label={runTexts.runs.one.timeline}>
      <div className={styles.spans}>
        <div className={styles.tools}>
          <span>{words.total(count(timeline.total))}</span>
          {failures ? (
            <>
              <span>{words.failures(failures)}</span>
              <Button onClick={() => jump(-1)}>{words.previous}</Button>
              <Button onClick={() => jump(1)}>{words.next}</Button>
            </>
          ) : null}
        </div>
        <VirtualGrid
          label={words.label}
          keys={words.keys}
          rows={rows}
          total={timeline.total}
          keyOf={idOf}
          columns={COLUMNS}
          rowHeight={ROW_HEIGHT}
          active={chosen}
          onActive={onChoose}
          className={styles.spanGrid}
          header={<SpanHeader />}
          cells={cellsOf}
        />
      </div>
      <SpanDetails span={span} document={document} createdAt={timeline.created_at} />
    </section>
  );
}

/**
 * The first failure is what its reader has come for; one that comes later must not move what is being read. It is not
 * written into the address: whoever has just followed a link would be called back from there.
 */
function useFirstFailure({ timeline, isFetching }: SpansProps): string | null {
  const [first, setFirst] = useState<string | null>(null);
  const isFirst = useRef(true);
  useEffect(() => {
    if (first !== null || !isFirst.current) return;
    isFirst.current = isFetching; // what was kept from an earlier visit is not the first answer
    setFirst(timeline.spans.find(isFailure)?.id ?? null);
  }, [timeline, isFetching, first]);
  return first;
}

function usePlaced(timeline: Timeline): PlacedSpan[] {
  const [now, setNow] = useState(() => Date.now());
  const isOpen = timeline.finished_at === null;
  useEffect(() => {
    if (!isOpen) return;
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [isOpen]);
  return useMemo(() => placed(timeline, now), [timeline, now]);
}

function SpanHeader() {
  return [words.name, words.bar, words.took].map((title) => <GridHeading key={title}>{title}</GridHeading>);
}

function idOf({ span: { id } }: PlacedSpan): string {
  return id;
}

function cellsOf(row: PlacedSpan) {
  return <SpanCells row={row} />;
}

function SpanCells({ row }: { row: PlacedSpan }) {
  const { span, bar } = row;
  const status = runTexts.runs.spanStatuses[span.status] ?? span.status;
  return (
    <>
      <GridCell className={styles.spanName}>
        <span title={status}>
          <Status state={stateOf(span.status)}>{spanName(row)}</Status>
        </span>
        <span className={styles.kind}>{`${words.kinds[span.kind] ?? span.kind} · ${status}`}</span>
      </GridCell>
      <GridCell className={styles.track}>
        {bar ? (
          <span
            className={styles.bar}
            data-kind={span.kind}
            data-failed={isFailure(span) || undefined}
            style={{ insetInlineStart: `${bar.start * 100}%`, inlineSize: `${bar.length * 100}%` }}
          />
        ) : (
          <span className={styles.noTime}>{span.status === "skipped" ? "" : words.unknownTime}</span>
        )}
      </GridCell>
      <GridCell className={styles.took}>{tookText(row)}</GridCell>
    </>
  );
}

function spanName({ span }: PlacedSpan): string {
  const name = words.names[span.kind] ?? span.name;
  return span.kind === "webhook" && span.attempt ? words.attempt(name, span.attempt) : name;
}

function tookText({ span, seconds }: PlacedSpan): string {
  if (seconds !== null) return spanTime(seconds);
  return span.started_at !== null ? words.goesOn : t.common.unknown;
}
