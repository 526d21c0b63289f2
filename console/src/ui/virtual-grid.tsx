import { defaultRangeExtractor, useVirtualizer } from "@tanstack/react-virtual";
import {
  type ComponentProps,
  type KeyboardEvent,
  memo,
  type ReactNode,
  useCallback,
  useEffect,
  useEffectEvent,
  useId,
  useRef,
} from "react";
import styles from "./virtual-grid.module.css";

const OVERSCAN = 6;
const PAGE_ROWS = 10;
/** Part of the rows after which the next ones are asked for. */
const NEAR_END = 0.8;

interface VirtualGridProps<Row> {
  label: string;
  /** How it is used by keyboard. */
  keys: string;
  rows: readonly Row[];
  /** How many rows there are in all, also of those not loaded; null: that is not known. */
  total: number | null;
  keyOf: (row: Row) => string;
  /** Of GridHeading. */
  header: ReactNode;
  /**
   * Of GridCell; what can be pressed in it is no tab stop: the keys of the grid do the same. While it stays the same
   * function, rows that stay in sight are not rendered again.
   */
  cells: (row: Row) => ReactNode;
  columns: number;
  rowHeight: number;
  /** The row that the keyboard is at, by its key. */
  active: string | null;
  onActive: (key: string) => void;
  onOpen?: (row: Row) => void;
  onSelect?: (row: Row) => void;
  onSelectAll?: () => void;
  isSelected?: (row: Row) => boolean;
  onNearEnd?: () => void;
  className?: string | undefined;
}

/** A cell of a row. */
export function GridCell({ children, ...rest }: ComponentProps<"div">) {
  return (
    <div role="gridcell" {...rest}>
      {children}
    </div>
  );
}

/** A cell of the header. */
export function GridHeading({ children }: { children: ReactNode }) {
  return <div role="columnheader">{children}</div>;
}

interface CellsProps<Row> {
  row: Row;
  cells: (row: Row) => ReactNode;
}

const Cells = memo(function Cells<Row>({ row, cells }: CellsProps<Row>) {
  return cells(row);
}) as <Row>(props: CellsProps<Row>) => ReactNode;

/**
 * Rows of which only those in sight are in the document. It has one tab stop; the row that the keyboard is at is
 * its active descendant, and stays in the document when it is scrolled away.
 */
export function VirtualGrid<Row>(props: VirtualGridProps<Row>) {
  // Not table elements: rows that are placed by their offset are none of a table's.
  const { rows, keyOf, active, onNearEnd } = props;
  const id = useId();
  const scroll = useRef<HTMLDivElement>(null);
  const at = active === null ? -1 : rows.findIndex((row) => keyOf(row) === active);
  const rangeExtractor = useCallback(
    (range: Parameters<typeof defaultRangeExtractor>[0]) => {
      const indexes = defaultRangeExtractor(range);
      return at < 0 || indexes.includes(at) ? indexes : [...indexes, at].sort((a, b) => a - b);
    },
    [at],
  );
  // The same function while the rows are the same: with another one, all rows are placed again.
  const getItemKey = useCallback((index: number) => keyOf(rows[index] as Row), [rows, keyOf]);
  const virtualizer = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroll.current,
    estimateSize: () => props.rowHeight,
    getItemKey,
    overscan: OVERSCAN,
    rangeExtractor,
  });
  const items = virtualizer.getVirtualItems();
  const last = virtualizer.range?.endIndex ?? 0;
  useEffect(() => {
    if (rows.length && last >= rows.length * NEAR_END - 1) onNearEnd?.();
  }, [last, rows.length, onNearEnd]);
  // Not when rows are added above it: what is being read would move.
  const isThere = at >= 0;
  const show = useEffectEvent((key: string | null) => {
    if (key !== null) virtualizer.scrollToIndex(at, { align: "auto" });
  });
  useEffect(() => {
    if (isThere) show(active);
  }, [isThere, active]);

  const go = (index: number) => {
    const row = rows[Math.max(0, Math.min(index, rows.length - 1))];
    if (row) props.onActive(keyOf(row));
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const moves: Record<string, number> = {
      ArrowDown: at + 1,
      j: at + 1,
      ArrowUp: at - 1,
      k: at - 1,
      Home: 0,
      End: rows.length - 1,
      PageDown: at + PAGE_ROWS,
      PageUp: at - PAGE_ROWS,
    };
    if (event.target !== event.currentTarget || event.altKey) return;
    const mod = event.ctrlKey || event.metaKey;
    if (mod && event.key.toLowerCase() === "a" && props.onSelectAll) {
      props.onSelectAll();
      event.preventDefault();
    }
    if (mod) return;
    const target = moves[event.key];
    const row = rows[at];
    if (target !== undefined) go(target);
    else if (event.key === "Enter" && row && props.onOpen) props.onOpen(row);
    else if (event.key === " " && row && props.onSelect) props.onSelect(row);
    else return;
    event.preventDefault();
  };
  return (
    <div className={props.className}>
      <p id={`${id}-keys`} className={styles.hidden}>
        {props.keys}
      </p>
      <div
        ref={scroll}
        role="grid"
        tabIndex={0}
        aria-label={props.label}
        aria-describedby={`${id}-keys`}
        aria-rowcount={props.total === null ? -1 : props.total + 1}
        aria-colcount={props.columns}
        aria-activedescendant={at < 0 ? undefined : `${id}-${at}`}
        {...(props.onSelect ? { "aria-multiselectable": true } : {})}
        className={styles.grid}
        onKeyDown={onKeyDown}
        onFocus={(event) => event.target === event.currentTarget && at < 0 && go(0)}
      >
        <div role="rowgroup" className={styles.head}>
          <div role="row" aria-rowindex={1} className={styles.header}>
            {props.header}
          </div>
        </div>
        <div
          role="rowgroup"
          className={styles.body}
          // React sets it by the CSSOM: the policy refuses only attributes of HTML.
          style={{ blockSize: virtualizer.getTotalSize() }}
        >
          {items.map((item) => {
            const row = rows[item.index] as Row;
            return (
              <div
                key={item.key}
                ref={virtualizer.measureElement}
                id={`${id}-${item.index}`}
                role="row"
                aria-rowindex={item.index + 2}
                aria-selected={props.isSelected ? props.isSelected(row) : item.index === at}
                data-index={item.index}
                data-active={item.index === at || undefined}
                className={styles.row}
                style={{ transform: `translateY(${item.start}px)` }}
                onClick={() => props.onActive(keyOf(row))}
              >
                <Cells row={row} cells={props.cells} />
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}
